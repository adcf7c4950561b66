"""The command of the container: `train` runs the user's script once, `serve` answers /ping and /invocations.

`torchrun` and `mpi-agent` are for `train`, which has torchrun and mpirun run them."""
import sys


def main():
    name = sys.argv[0].rpartition('/')[2]
    if name == 'torchrun':  # as which it stands in the PATH of containers
        sys.argv.insert(1, name)
    command = sys.argv[1] if len(sys.argv) > 1 else ''
    if command == 'wait':
        from sagebrush_toolkit import standby, train  # the second for its time, which is over then
        command = standby.become()
    # Started with -S, and each imports only what it needs: every module costs the user's script the time that it takes.
    if command == 'train':
        from sagebrush_toolkit import train
        sys.exit(train.main())
    if command == 'serve':
        import site
        site.main()  # the user's code runs in these processes
        from sagebrush_toolkit import serve
        sys.exit(serve.main())
    if command == 'torchrun':
        import site
        site.main()
        from sagebrush_toolkit import torchrun
        del sys.argv[0]
        sys.exit(torchrun.main())
    if command == 'mpi-agent':
        from sagebrush_toolkit import mpi
        sys.exit(mpi.agent(*sys.argv[2:]))
    sys.exit(f'usage: sagebrush-toolkit train | serve (not {command!r})')


if __name__ == '__main__':
    main()
