"""Where things are below /opt/ml, or below SAGEMAKER_BASE_DIR where that is set."""
import os

from sagebrush_toolkit import jsontext


class Layout:
    def __init__(self, environment=os.environ):
        self.base = environment.get('SAGEMAKER_BASE_DIR') or '/opt/ml'
        # Where there is no image of our own, what pip installs must not go to the machine's Python.
        self.relocated = bool(environment.get('SAGEMAKER_BASE_DIR'))
        self.input = self.base + '/input'
        self.config = self.base + '/input/config'
        self.data = self.base + '/input/data'
        self.model = self.base + '/model'
        self.output = self.base + '/output'
        self.output_data = self.base + '/output/data'
        self.intermediate = self.base + '/output/intermediate'
        self.failure = self.base + '/output/failure'
        self.success = self.base + '/output/success'
        self.code = self.base + '/code'
        self.packages = self.base + '/python'

    def read_config(self, name):
        """A JSON file of the platform; one that is not there is empty."""
        try:
            with open(f'{self.config}/{name}.json', encoding='utf-8') as f:
                return jsontext.loads(f.read())
        except FileNotFoundError:
            return {}


class Failure(Exception):
    """An end with a reason: what the user reads in FailureReason, and the exit status of the container."""

    def __init__(self, text, exit_code=1):
        super().__init__(text)
        self.text = text
        self.exit_code = exit_code
