"""Makes botocore.loaders.create_loader() follow AWS_DATA_PATH, as every client of botocore does anyway.

Python imports this at its start in shells where `sagebrush env` has put this folder into PYTHONPATH. The SageMaker SDK
asks a loader of its own, made without a path, where STS is, and would go to Amazon for it. Nothing else is changed,
and nothing at all where AWS_DATA_PATH is not set or named by the caller."""
import os
import sys


def follow_data_path(loaders):
    make = loaders.create_loader
    if make.__module__ == __name__:
        return  # it does already

    def create_loader(search_path_string=None):
        return make(search_path_string or os.environ.get('AWS_DATA_PATH'))

    loaders.create_loader = create_loader


class Finder:
    """Waits until botocore.loaders is imported: most programs never do."""

    def find_spec(self, name, path=None, target=None):
        if name != 'botocore.loaders':
            return None
        from importlib.machinery import PathFinder
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            run = spec.loader.exec_module

            def exec_module(module):
                run(module)
                follow_data_path(module)

            spec.loader.exec_module = exec_module
        return spec


def next_one():
    """The machine's own sitecustomize, which this one stands before; those of two servers may stand before it."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec
    ours = sys.__dict__.setdefault('_sagebrush_folders', set())
    ours.add(os.path.dirname(os.path.abspath(__file__)))
    spec = PathFinder.find_spec('sitecustomize', [p for p in sys.path if os.path.abspath(p or '.') not in ours])
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(module_from_spec(spec))


if 'botocore.loaders' in sys.modules:
    follow_data_path(sys.modules['botocore.loaders'])
else:
    sys.meta_path.insert(0, Finder())
if __name__ == 'sitecustomize':
    next_one()
