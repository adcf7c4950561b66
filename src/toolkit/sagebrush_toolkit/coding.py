"""Request bodies to arrays and back: what the framework containers do where the user's script says nothing."""
import io
import json

JSON, CSV, NPY, NPZ, LIBSVM = 'application/json', 'text/csv', 'application/x-npy', 'application/x-npz', 'text/libsvm'
TEXT = {JSON, CSV, LIBSVM, 'text/x-libsvm', 'text/plain'}


class Unsupported(Exception):
    """A media type that is not known: HTTP 415 for what came in, 406 for what was asked for."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def media_type(header):
    return (header or '').split(';')[0].strip().lower()


def decode(data, content_type):
    """bytes to a numpy array (a scipy matrix for npz)."""
    import numpy

    kind = media_type(content_type)
    if kind == NPY:
        # Never pickled objects: they are programs, and this is input.
        return numpy.load(io.BytesIO(data), allow_pickle=False)
    if kind == NPZ:
        import scipy.sparse
        return scipy.sparse.load_npz(io.BytesIO(data))
    if kind == JSON:
        return numpy.array(json.loads(data))
    if kind == CSV:
        text = data.decode('utf-8') if isinstance(data, bytes) else data
        return numpy.genfromtxt(io.StringIO(text), delimiter=',')
    raise Unsupported(415, f'Content type {content_type!r} is not supported by the default input_fn; it takes {JSON}, '
                           f'{CSV}, {NPY} and {NPZ}. Define input_fn for others.')


def plain(value):
    """What json and numpy.savetxt can write, of what models return."""
    if hasattr(value, 'detach'):  # a torch tensor
        value = value.detach().cpu().numpy()
    if hasattr(value, 'to_numpy'):  # a pandas frame
        value = value.to_numpy()
    return value


def json_default(value):
    value = plain(value)
    if hasattr(value, 'tolist'):
        return value.tolist()
    raise TypeError(f'{type(value).__name__} has no JSON form')


def encode(value, accept):
    """Anything array-like to (bytes, content type)."""
    import numpy

    kind = media_type(accept)
    value = plain(value)
    if kind == JSON:
        return json.dumps(value, default=json_default).encode(), JSON
    if kind == CSV:
        array = numpy.atleast_1d(numpy.array(value))
        out = io.StringIO()
        numpy.savetxt(out, array, delimiter=',', fmt='%s')
        return out.getvalue().encode(), CSV
    if kind == NPY:
        out = io.BytesIO()
        numpy.save(out, numpy.array(value), allow_pickle=False)
        return out.getvalue(), NPY
    raise Unsupported(406, f'Accept {accept!r} is not supported by the default output_fn; it gives {JSON}, {CSV} and '
                           f'{NPY}. Define output_fn for others.')
