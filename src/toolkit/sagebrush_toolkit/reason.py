"""What a user reads in FailureReason: of all that a script and its launcher wrote, the words that tell why it failed.
"""

REASON = 1000         # FailureReason takes the first 1024 characters of the failure file
TRACEBACK = 'Traceback (most recent call last)'

# What the processes say that only saw another one go: of these, none is the cause.
BEREAVED = (
    'Connection closed by peer', 'Connection reset by peer', 'Connection was likely closed', 'Broken pipe',
    'remote process exited', 'Socket Timeout', 'NCCL communicator was aborted', 'Connection refused',
)

# Distribution packages for the Python of the machine; others go by the module's name.
PACKAGES = {'sklearn': 'python3-sklearn', 'cv2': 'python3-opencv', 'yaml': 'python3-yaml', 'PIL': 'python3-pil'}


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
    lines = [line[each.end():] for line in text.split('\n') if (each := tag.match(line)) and each[1] == rank]
    return '\n'.join(lines), ' '.join(fate[0].split())


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


def last_words(text):
    """The last traceback of what went to standard error, or its end; the exception's own line is always in it."""
    blocks = text.split(TRACEBACK)[1:]
    if not blocks:
        return text.strip()
    causes = [block for block in blocks if not is_bereaved(block)]
    return (TRACEBACK + (causes or blocks)[-1]).strip()


def hint(words):
    """What to do about a module that is not there."""
    import re
    missing = re.search(r"ModuleNotFoundError: No module named '([^'.]+)", words)
    if not missing:
        return ''
    name = missing[1]
    if name == 'smdistributed':
        return '\nsmdistributed comes with Amazon\'s images only: with the backend nccl or gloo, the same job runs here'
    package = PACKAGES.get(name) or 'python3-' + name.replace('_', '-').lower()
    return f'\n{name} is not on this machine: name it in requirements.txt beside the script, or on the server: ' \
           f'apt-get install {package}'


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
