"""text_to_c.py INPUT OUTPUT NAME - a file as a C string, for a program that writes it out again."""
import sys

source, output, name = sys.argv[1:]
lines = open(source, encoding='utf-8').read().split('\n')
escaped = [line.replace('\\', '\\\\').replace('"', '\\"') for line in lines]
with open(output, 'w', encoding='utf-8') as f:
    f.write(f'static const char {name}[] =\n' + ' "\\n"\n'.join(f'    "{line}"' for line in escaped) + ';\n')
