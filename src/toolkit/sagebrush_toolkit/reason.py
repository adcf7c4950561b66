"""What a user reads in FailureReason: of all that a script and its launcher wrote, the words that tell why it failed.
"""

REASON = 1000         # FailureReason takes the first 1024 characters of the failure file
TRACEBACK = 'Traceback (most recent call last)'

# What the processes say that only saw another one go: of these, none is the cause.
BEREAVED = (
    'Connection closed by peer', 'Connection reset by peer', 'Connection was likely closed', 'Broken pipe',
    'remote process exited', 'Socket Timeout', 'NCCL communicator was aborted', 'Connection refused',
)

# What Python puts between two tracebacks of which the earlier one tells why there is a later one.
LINKS = ('The above exception was the direct cause of the following exception:',
         'During handling of the above exception, another exception occurred:')

# Modules that Debian 12 has for the Python of the machine, and its packages where they have another name. What is not
# here, such as tensorflow or transformers, only pip has.
PACKAGES = {name: name.lower() for name in '''
    bs4 cloudpickle dask dateutil dill fastapi gensim h5py imageio joblib jsonschema lxml matplotlib mpi4py msgpack
    networkx nltk numba numpy onnx openpyxl pandas plotly psutil psycopg2 pydantic pymysql redis requests scipy seaborn
    sentencepiece simplejson sklearn skimage sqlalchemy statsmodels sympy tabulate termcolor toml torch torchaudio
    torchvision tqdm ujson xgboost yaml'''.split()}
PACKAGES.update({'cv2': 'opencv', 'PIL': 'pil', 'zmq': 'zmq', 'attr': 'attr', 'attrs': 'attr'})


def is_bereaved(words):
    last = words.rstrip().rsplit('\n', 1)[-1]
    return any(sign in last for sign in BEREAVED)


# What mpirun says of the rank that ended first, with its number.
FATES = (
    r'process rank (\d+) with PID \d+ on node \S+ exited on signal \d+[^.\n]*',
    r'MPI_ABORT was invoked on rank (\d+) in communicator [^\n]*\s+with errorcode \d+',
    r'Process name: \[\[\d+,1\],(\d+)\]\s+Exit code: +\d+',
    r'The host \S+ did not start its part of the job.*',
)


def of_mpirun(text):
    """(what the rank that ended first wrote, without mpirun's tags; what mpirun says of its end)"""
    import re
    found = [re.search(fate, text) for fate in FATES]
    fate = next((each for each in found if each), None)
    tag = re.compile(r'^\[\d+,(\d+)\]<std(?:err|out)>: ?', re.M)
    if not fate:
        return tag.sub('', text), ''
    rank = fate[1] if fate.re.groups else None
    said = {rank: []}
    for line in text.split('\n'):
        if each := tag.match(line):
            said.setdefault(each[1], []).append(line[each.end():])
    words = '\n'.join(said[rank])
    if is_bereaved(last_words(words)):
        # Its end was seen first, and another's was before it.
        words = '\n'.join('\n'.join(lines) for lines in said.values())
    return words, ' '.join(fate[0].split())


def of_torchrun(text):
    """(what the ranks wrote, what became of the one that failed first) without what torchrun wrote about them."""
    import re
    import signal
    failed = re.search(r'^.*failed \(exitcode: (-?\d+)\) local_rank: (\d+) \(pid: \d+\)', text, re.M)
    if not failed:
        return text, ''
    number = -int(failed[1])
    fate = f'local rank {failed[2]} was ended by signal {number} ({signal.strsignal(number)})' if number > 0 else ''
    said = re.search(r'^.*(Sending process \d+ closing signal|failed \(exitcode)', text, re.M)
    return text[:said.start()].rpartition('*****\n')[2], fate  # its advice on OMP_NUM_THREADS stands between stars


def exception_in(block):
    """The end of what stands behind the title of a traceback: the exception's own lines and what follows them."""
    lines = block.split('\n')[1:]
    first = next((i for i, line in enumerate(lines) if line[:1].strip()), len(lines))
    return '\n'.join(lines[first:]).strip()


def root_of(blocks):
    """The exception that the last of the tracebacks goes back to, with Python's words on what follows from it."""
    root = ''
    for block in reversed(blocks[:-1]):
        said = exception_in(block)
        if not said.endswith(LINKS):
            break
        root = said
    # A pool raises what its worker raised once more.
    return root + '\n\n' if root and root.split('\n')[0] not in blocks[-1] else ''


def ended(block):
    """A traceback without what was written after its exception."""
    exception = exception_in(block)
    return block[:block.rfind(exception)] + exception.split('\n\n')[0] if exception else block


def last_words(text):
    """The last traceback of what went to standard error, or its end; the exception's own line is always in it."""
    blocks = text.split(TRACEBACK)
    last = next((i for i in range(len(blocks) - 1, 0, -1) if not is_bereaved(blocks[i])), len(blocks) - 1)
    if not last:
        return text.strip()
    exception = exception_in(blocks[last])
    if exception.startswith('subprocess.CalledProcessError: ') and last > 1:
        # Whoever was called has said why before.
        return last_words(TRACEBACK.join(blocks[:last - 1] + [ended(blocks[last - 1])])) + '\n' + exception
    return (root_of(blocks[1:last + 1]) + TRACEBACK + blocks[last]).strip()


def hint(words):
    """What to do about a module that is not there."""
    import re
    missing = re.search(r"ModuleNotFoundError: No module named '([^'.]+)", words)
    if not missing:
        return ''
    name = missing[1]
    if name == 'smdistributed':
        return '\nsmdistributed comes with Amazon\'s images only: with the backend nccl or gloo, the same job runs here'
    debian = f', or on the server: apt-get install python3-{PACKAGES[name]}' if name in PACKAGES else ''
    return f'\n{name} is not on this machine: name it in requirements.txt beside the script{debian}'


def ended_by(number):
    import signal  # with names; they take a while to load
    try:
        return f'Process killed by {signal.Signals(number).name} (signal {number})'
    except ValueError:
        return ''


def of(text, code):
    """Why it failed, of what went to standard error."""
    for launcher in (of_mpirun, of_torchrun):
        written, fate = launcher(text)
        if fate or written != text:
            break
    else:
        if code == 137:
            return 'OutOfMemory: Process killed by SIGKILL (signal 9)'
        fate = ended_by(code - 128) if code > 128 else ''
    if 'signal 9' in fate:
        fate += ', as the kernel does where memory ends'
    words = last_words(written)
    if 'signal' in fate and is_bereaved(words):
        words = ''
    elif TRACEBACK in words and 'signal' not in fate:
        fate = ''
    return ': '.join(part for part in (fate, words) if part) + hint(words)


def told(kind, code, words, shown):
    """The failure file: the contract's form, cut in the middle so that the exception and the command both fit."""
    frame = f'{kind}:\nExitCode {code}\nErrorMessage "%s"\nCommand "{shown[:200]}"'
    room = REASON - len(frame)
    if len(words) > room:
        words = words[:room // 4] + ' ... ' + words[-(room - room // 4 - 5):]
    return frame.replace('%s', words, 1)
