"""The functions of an inference script, and what a framework's container does where the script does not say.

A script defines transform_fn, or any of model_fn, input_fn, predict_fn, output_fn. What it leaves out is the default
of its framework: the image's, or, where no image is named, that of the libraries which the script has imported."""
import importlib
import inspect
import os
import sys

from sagebrush_toolkit import coding
from sagebrush_toolkit.layout import Failure

NAMES = ('model_fn', 'input_fn', 'predict_fn', 'output_fn', 'transform_fn')


def framework_of(image):
    for part, name in (('pytorch', 'pytorch'), ('xgboost', 'xgboost'), ('scikit', 'sklearn')):
        if part in image:
            return name
    for module, name in (('torch', 'pytorch'), ('xgboost', 'xgboost')):
        if module in sys.modules:
            return name
    return 'sklearn'


class Context:
    """What a function that takes one more argument is given."""

    def __init__(self, model_dir, headers=None):
        self.system_properties = {'model_dir': model_dir, 'gpu_id': None}
        self.request_headers = {k.lower(): v for k, v in (headers or {}).items()}
        self.response_headers = {}

    def get_request_header(self, name):
        return self.request_headers.get(name.lower())

    def set_response_header(self, name, value):
        self.response_headers[name] = value


def files(folder, *endings):
    return sorted(f for f in os.listdir(folder) if f.endswith(endings)) if os.path.isdir(folder) else []


class Sklearn:
    """Arrays in, arrays out; a model written by joblib."""

    @staticmethod
    def model_fn(model_dir):
        import joblib
        found = files(model_dir, '.joblib')
        name = 'model.joblib' if 'model.joblib' in found or len(found) != 1 else found[0]
        if not found:
            raise Failure(f'There is no model.joblib in {model_dir}. Write one in training, or define model_fn.')
        return joblib.load(os.path.join(model_dir, name))

    input_fn = staticmethod(coding.decode)

    @staticmethod
    def predict_fn(data, model):
        return model.predict(data)

    output_fn = staticmethod(coding.encode)


class Pytorch(Sklearn):
    """Tensors in, tensors out; a TorchScript model."""

    @staticmethod
    def model_fn(model_dir):
        import torch
        found = files(model_dir, '.pt', '.pth')
        name = 'model.pt' if 'model.pt' in found else found[0] if len(found) == 1 else None
        if not name:
            raise Failure(f'There is no model.pt in {model_dir} (found: {", ".join(found) or "nothing"}). Save a '
                          'TorchScript model under that name, or define model_fn.')
        return torch.jit.load(os.path.join(model_dir, name), map_location=Pytorch.device()).eval()

    @staticmethod
    def device():
        import torch
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')

    @staticmethod
    def input_fn(data, content_type):
        import numpy
        import torch
        array = coding.decode(data, content_type)
        array = array.toarray() if hasattr(array, 'toarray') else numpy.asarray(array)
        return torch.FloatTensor(array.astype('float32')).to(Pytorch.device())

    @staticmethod
    def predict_fn(data, model):
        import torch
        with torch.no_grad():
            model.eval()
            return model(data.to(Pytorch.device()))


class Xgboost(Sklearn):
    """A DMatrix in, an array out; a booster in any of the library's formats, or a pickled one."""

    @staticmethod
    def model_fn(model_dir):
        import pickle

        import xgboost
        found = [f for f in sorted(os.listdir(model_dir)) if os.path.isfile(os.path.join(model_dir, f))]
        name = 'xgboost-model' if 'xgboost-model' in found else found[0] if len(found) == 1 else None
        if not name:
            raise Failure(f'There is no xgboost-model in {model_dir} (found: {", ".join(found) or "nothing"}). Save '
                          'the booster under that name, or define model_fn.')
        path = os.path.join(model_dir, name)
        try:
            booster = xgboost.Booster()
            booster.load_model(path)
            return booster
        except xgboost.core.XGBoostError:
            with open(path, 'rb') as f:
                return pickle.load(f)

    @staticmethod
    def input_fn(data, content_type):
        import tempfile

        import xgboost
        kind = coding.media_type(content_type)
        if kind in (coding.LIBSVM, 'text/x-libsvm'):
            with tempfile.NamedTemporaryFile() as f:
                f.write(data.encode() if isinstance(data, str) else data)
                f.flush()
                return xgboost.DMatrix(f'{f.name}?format=libsvm')
        array = coding.decode(data, content_type)
        if kind == coding.CSV and array.ndim < 2:
            array = array.reshape(1, -1) if '\n' not in (data if isinstance(data, str) else data.decode()).strip() \
                else array.reshape(-1, 1)
        return xgboost.DMatrix(array)

    @staticmethod
    def predict_fn(data, model):
        if hasattr(model, 'get_booster'):
            model = model.get_booster()
        return model.predict(data, validate_features=False)


DEFAULTS = {'sklearn': Sklearn, 'pytorch': Pytorch, 'xgboost': Xgboost}


def load_script(folder, program):
    """The user's module; None when there is none and none was named."""
    name = program or 'inference.py'
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        if program:
            there = ', '.join(files(folder, '.py')) or 'no Python file'
            raise Failure(f'The inference script {program} (SAGEMAKER_PROGRAM) is not in {folder}, which holds '
                          f'{there}.')
        return None
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name[:-3].replace('/', '.'))
    except SystemExit as end:  # a training script that begins to train, or to read its arguments
        raise Failure(f'{name} ended when it was imported to serve the model (SystemExit: {end}). What it is to do in '
                      'training only belongs behind `if __name__ == "__main__":`.') from end


def accepts(function, most):
    """Whether it takes one argument more than the 'most' that everybody gives: the context."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    if any(p.kind == p.VAR_POSITIONAL for p in parameters):
        return True
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) > most


class Handler:
    """One model, ready: invoke() answers one request."""

    def __init__(self, layout, program, environment=os.environ):
        module = load_script(layout.code, program)
        defaults = DEFAULTS[framework_of(environment.get('SAGEBRUSH_IMAGE', ''))]
        given = {name: getattr(module, name, None) for name in NAMES}
        if given['transform_fn'] and any(given[n] for n in ('input_fn', 'predict_fn', 'output_fn')):
            raise Failure('The inference script defines transform_fn beside input_fn, predict_fn or output_fn: it is '
                          'one or the other.')
        self.functions = {name: given[name] or getattr(defaults, name, None) for name in NAMES}
        self.default_accept = environment.get('SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT') or coding.JSON
        self.model_dir = layout.model
        self.model = self.call('model_fn', (layout.model,), Context(layout.model))

    def call(self, name, arguments, context):
        function = self.functions[name]
        return function(*arguments, context) if accepts(function, len(arguments)) else function(*arguments)

    def accept_of(self, header):
        kinds = [media.strip() for media in (header or '').split(',') if media.strip()]
        wanted = [k for k in kinds if coding.media_type(k) not in ('*/*', '')]
        return wanted[0] if wanted else self.default_accept

    def invoke(self, data, headers):
        """(bytes, content type, further headers)"""
        context = Context(self.model_dir, headers)
        content_type = headers.get('content-type') or coding.JSON
        accept = self.accept_of(headers.get('accept'))
        if coding.media_type(content_type) in (coding.JSON, coding.CSV):
            data = data.decode('utf-8')
        if self.functions['transform_fn']:
            result = self.call('transform_fn', (self.model, data, content_type, accept), context)
        else:
            read = self.call('input_fn', (data, content_type), context)
            predicted = self.call('predict_fn', (read, self.model), context)
            result = self.call('output_fn', (predicted, accept), context)
        if isinstance(result, tuple) and len(result) == 2:
            body, kind = result
        else:
            body, kind = result, accept
        if hasattr(body, 'get_data'):  # a response object of the web framework that old scripts import
            body, kind = body.get_data(), getattr(body, 'content_type', kind)
        if isinstance(body, str):
            body = body.encode()
        if not isinstance(body, (bytes, bytearray, memoryview)):
            raise TypeError(f'output_fn returned {type(body).__name__}; it has to return str or bytes')
        return bytes(body), kind, context.response_headers
