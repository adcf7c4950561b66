"""Two ways by which the SageMaker SDK would go to Amazon all the same.

Python imports this at its start in shells where `sagebrush env` has put this folder into PYTHONPATH. The SDK asks a
loader of its own, made without a path, where STS is: botocore.loaders.create_loader() is made to follow AWS_DATA_PATH,
as every client of botocore does anyway. And ModelTrainer, whose sessions have no configuration, does not find that
usage data are not to be sent (TelemetryOptOut): it is read for them, too. Nothing else is changed, and nothing at all
where AWS_DATA_PATH is not set or named by the caller, or the configuration does not say so."""
import os
import sys


def follow_data_path(loaders):
    make = loaders.create_loader
    if make.__module__ == __name__:
        return  # it does already

    def create_loader(search_path_string=None):
        return make(search_path_string or os.environ.get('AWS_DATA_PATH'))

    loaders.create_loader = create_loader


def heed_opt_out(telemetry):
    resolve = telemetry.resolve_value_from_config

    def resolve_value_from_config(*words, sagemaker_session=None, **more):
        if not hasattr(sagemaker_session, 'sagemaker_config'):
            from sagemaker.config import load_sagemaker_config
            more['sagemaker_config'] = load_sagemaker_config()
        return resolve(*words, sagemaker_session=sagemaker_session, **more)

    telemetry.resolve_value_from_config = resolve_value_from_config


WAITED_FOR = {'botocore.loaders': follow_data_path, 'sagemaker.telemetry.telemetry_logging': heed_opt_out}


class Finder:
    """Waits until a module is imported: most programs never do."""

    def __init__(self, awaited, change):
        self.awaited, self.change = awaited, change

    def find_spec(self, name, path=None, target=None):
        if name != self.awaited:
            return None
        from importlib.machinery import PathFinder
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            run = spec.loader.exec_module

            def exec_module(module):
                run(module)
                self.change(module)

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


for awaited, change in WAITED_FOR.items():
    if awaited in sys.modules:
        change(sys.modules[awaited])
    else:
        sys.meta_path.insert(0, Finder(awaited, change))
if __name__ == 'sitecustomize':
    next_one()
