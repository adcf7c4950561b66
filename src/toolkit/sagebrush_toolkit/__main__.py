"""The command of the container: `train` runs the user's script once, `serve` answers /ping and /invocations."""
import sys


def main():
    command = sys.argv[1] if len(sys.argv) > 1 else ''
    # Each imports only what it needs: a job's first line is printed 40 ms after its start, not 400.
    if command == 'train':
        from sagebrush_toolkit import train
        sys.exit(train.main())
    if command == 'serve':
        from sagebrush_toolkit import serve
        sys.exit(serve.main())
    sys.exit(f'usage: sagebrush-toolkit train | serve (not {command!r})')


if __name__ == '__main__':
    main()
