"""The command of the container: `train` runs the user's script once, `serve` answers /ping and /invocations."""
import sys


def main():
    command = sys.argv[1] if len(sys.argv) > 1 else ''
    # Started with -S, and each imports only what it needs: every module costs the user's script the time that it takes.
    if command == 'train':
        from sagebrush_toolkit import train
        sys.exit(train.main())
    if command == 'serve':
        import site
        site.main()  # the user's code runs in these processes
        from sagebrush_toolkit import serve
        sys.exit(serve.main())
    sys.exit(f'usage: sagebrush-toolkit train | serve (not {command!r})')


if __name__ == '__main__':
    main()
