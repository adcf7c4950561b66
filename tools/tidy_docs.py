"""What the documents say about the tree, for tools/tidy: links, files, commands, options and settings are there; and
every command and setting stands in the manual."""
import os
import re

FENCE = re.compile(r'^```')
LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)\)')
CODE = re.compile(r'`([^`]+)`')
INDENT = '    '
CALL = re.compile(r'(?<![\w./-])(?:[\w./]+/)?sagebrush +([a-z]+)\b((?:(?!sagebrush )[^|;&`#])*)')
FOLDERS = ('src/', 'docs/', 'tests/', 'tools/', 'bench/', 'model/', 'packaging/')


def pages(tree):
    """The pages of people who use it or work on it; not what a folder says of itself."""
    return {path: lines for path, lines in tree.items() if re.fullmatch(r'(docs/.*|[A-Z]+)\.md', path)}


def anchor(heading):
    return re.sub(r'[^\w\- ]', '', heading.lower()).strip().replace(' ', '-')


def anchors(lines):
    return {anchor(re.sub(r'^#+ ', '', line)) for line in lines if re.match(r'#+ ', line)}


def code(lines):
    """(number, text) of what stands in `` or is set as a block."""
    fenced = False
    for number, line in enumerate(lines, 1):
        if FENCE.match(line):
            fenced = not fenced
        elif fenced or line.startswith(INDENT):
            yield number, line
        else:
            for text in CODE.findall(line):
                yield number, text


def check_links(tree, exists, find):
    for path, lines in pages(tree).items():
        for number, line in enumerate(lines, 1):
            for link in LINK.findall(re.sub('`[^`]*`', '', line)):
                if re.match(r'\w+:', link):
                    continue
                target, _, part = link.partition('#')
                there = os.path.normpath(os.path.join(os.path.dirname(path), target)) if target else path
                if not exists(there):
                    find(path, number, f'a link to {there}, which is not there')
                elif part and part not in anchors(tree[there]):
                    find(path, number, f'a link to "{part}", which is no heading of {there}')


def check_files(tree, exists, find):
    """`src/run/init.c` is there, and so is `run/init.c`, as the sources include each other."""
    layers = {path.split('/')[1] for path in tree if path.startswith('src/') and path.count('/') > 1}
    for path, lines in pages(tree).items():
        for number, text in code(lines):
            for word in re.findall(r'(?<![\w/.$:-])[\w.-]+(?:/[\w.-]+)+', text):
                first, name = word.split('/')[0], word.rstrip('.')
                if word.startswith(FOLDERS):
                    wanted = name
                elif first in layers and re.search(r'\.[ch]$', name):
                    wanted = 'src/' + name
                else:
                    continue
                if not exists(wanted) and not re.search(r'[A-Z]{3}', wanted):
                    find(path, number, f'names {word}, which is not there')


def commands(tree):
    """Name -> options, as src/cmd has them."""
    found = {}
    for path, lines in tree.items():
        if path.startswith('src/cmd/') and path.endswith('.c'):
            text = '\n'.join(lines)
            options = set(re.findall(r'^    \{ "([a-z-]+)", (?:NULL|"[^"]*"),', text, re.M))
            for name in re.findall(r'_command = \{\n    \.name = "(\w+)"', text):
                found[name] = options | {'data', 'help'}
    return found


def check_commands(tree, exists, find):
    known, told = commands(tree), set()
    for path, lines in pages(tree).items():
        for number, text in code(lines):
            for name, rest in CALL.findall(text):
                if name not in known:
                    find(path, number, f'`sagebrush {name}`, which is no command')
                    continue
                if path.startswith('docs/manual/'):
                    told.add(name)
                for option in re.findall(r'(?<!\S)--([a-z][\w-]*)', re.split(r' {3,}|"|\)', rest)[0]):
                    if option not in known[name]:
                        find(path, number, f'`sagebrush {name} --{option}`, which is no option of it')
    for name in sorted(set(known) - told):
        find('docs/manual/README.md', 1, f'no page of the manual has `sagebrush {name}`')


def settings(tree):
    text = '\n'.join(tree['src/cmd/settings.c'])
    return set(re.findall(r'^    \{ "([a-z-]+)", "', text.split('setting_table[] = {')[1].split('\n};')[0], re.M))


def check_settings(tree, exists, find):
    known, told = settings(tree), set()
    for path, lines in pages(tree).items():
        conf = False
        for number, line in enumerate(lines, 1):
            conf = line.startswith(INDENT) and (conf or '/etc/sagebrush.conf' in line)
            row = re.match(r' +([a-z-]+) = ', line)
            if conf and row and row.group(1) not in known:
                find(path, number, f'{row.group(1)} is no setting')
        if path.startswith('docs/manual/'):
            told |= {word for _, text in code(lines) for word in re.findall(r'[a-z-]+', text)}
    for name in sorted(known - told):
        find('docs/manual/server.md', 1, f'no page of the manual has the setting {name}')


CHECKS = (check_links, check_files, check_commands, check_settings)
