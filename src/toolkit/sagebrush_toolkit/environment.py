"""What a training script is told: hyperparameters as arguments, everything as SM_* variables."""
import os

from sagebrush_toolkit import jsontext

# Known to the platform, and no arguments of the user's script.
PLATFORM = {
    'sagemaker_program', 'sagemaker_submit_directory', 'sagemaker_enable_cloudwatch_metrics', 'sagemaker_region',
    'sagemaker_container_log_level', 'sagemaker_job_name', 'sagemaker_s3_output', 'default_user_module_name',
    '_tuning_objective_metric',
}


def decoded(hyperparameters):
    """The SDK sends JSON in each string; a plain string is kept as it is."""
    result = {}
    for name, text in hyperparameters.items():
        try:
            result[name] = jsontext.loads(text)
        except (TypeError, ValueError):
            result[name] = text
    return result


def compact(value):
    """The value of an SM_* variable."""
    if value is None:
        return ''
    if isinstance(value, str):
        return value
    return jsontext.dumps(value)


def arguments(hyperparameters):
    """--name value, sorted by name; names of one letter get one dash."""
    words = []
    for name in sorted(hyperparameters):
        value = hyperparameters[name]
        words += [('-' if len(name) == 1 else '--') + name, '' if value is None else str(value)]
    return words


def count_gpus():
    """Those of this container. Where none is around us, nvidia-smi would tell of others' too."""
    if 'SAGEMAKER_BASE_DIR' in os.environ:
        return len([word for word in os.environ.get('CUDA_VISIBLE_DEVICES', '').split(',') if word])
    if not any(os.path.exists(os.path.join(folder, 'nvidia-smi')) for folder in os.get_exec_path()):
        return sum(name.startswith('nvidia') and name[6:].isdigit() for name in os.listdir('/dev'))
    import subprocess
    try:
        listed = subprocess.run(['nvidia-smi', '--list-gpus'], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith('GPU ') for line in listed.split('\n'))


class Environment:
    def __init__(self, layout, environment=os.environ):
        every = decoded(layout.read_config('hyperparameters'))
        resources = layout.read_config('resourceconfig')
        self.layout = layout
        self.resources = resources
        self.channels = layout.read_config('inputdataconfig')
        self.program = every.get('sagemaker_program') or environment.get('SAGEMAKER_PROGRAM') or ''
        self.submit_directory = (every.get('sagemaker_submit_directory') or
                                 environment.get('SAGEMAKER_SUBMIT_DIRECTORY') or '')
        self.log_level = every.get('sagemaker_container_log_level', 20)
        self.job_name = every.get('sagemaker_job_name') or environment.get('TRAINING_JOB_NAME', '')
        self.region = every.get('sagemaker_region') or environment.get('AWS_REGION', '')
        self.hyperparameters = {k: v for k, v in every.items() if k not in PLATFORM and not k.startswith('sagemaker_')}
        self.framework_parameters = {k: v for k, v in every.items() if k not in PLATFORM and k.startswith('sagemaker_')}
        self.current_host = resources.get('current_host', 'localhost')
        self.hosts = resources.get('hosts', [self.current_host])
        self.interface = resources.get('network_interface_name', 'eth0')
        self.group = resources.get('current_group_name', 'homogeneousCluster')
        self.groups = resources.get('instance_groups', [])
        self.gpus = count_gpus()
        self.user_arguments = arguments(self.hyperparameters)

    @property
    def module_name(self):
        return self.program[:-3] if self.program.endswith('.py') else self.program

    def group_hosts(self):
        for group in self.groups:
            if group.get('instance_group_name') == self.group:
                return group.get('hosts', [])
        return list(self.hosts)

    def distribution_groups(self):
        """The groups whose hosts a launcher starts the script on: those that the job names, else all.

        For torch_distributed the SDK sends no names, whatever its instance_groups says. A world for each group would
        train the model as often as there are groups, and nobody would hear of it."""
        named = self.framework_parameters.get('sagemaker_distribution_instance_groups')
        distributed = any(name.endswith('_enabled') and str(value).lower() == 'true'
                          for name, value in self.framework_parameters.items())
        every = [group.get('instance_group_name') for group in self.groups] or [self.group]
        return named or (every if distributed else [])

    def distribution_hosts(self):
        groups = self.distribution_groups()
        named = {host for g in self.groups if g.get('instance_group_name') in groups for host in g.get('hosts', [])}
        # The order of all hosts is the same on each; that of a group's is nobody's promise.
        return [host for host in self.hosts if host in named] or self.hosts

    def master(self):
        return self.distribution_hosts()[0]

    def variables(self):
        """The SM_* variables of the contract."""
        at = self.layout
        groups = [g.get('instance_group_name') for g in self.groups]
        values = {
            'hosts': self.hosts,
            'network_interface_name': self.interface,
            'hps': self.hyperparameters,
            'user_entry_point': self.program,
            'framework_params': self.framework_parameters,
            'resource_config': self.resources,
            'input_data_config': self.channels,
            'output_data_dir': at.output_data,
            'channels': sorted(self.channels),
            'current_host': self.current_host,
            'current_instance_type': self.resources.get('current_instance_type', 'local'),
            'current_instance_group': self.group,
            'current_instance_group_hosts': self.group_hosts(),
            'instance_groups': groups,
            'instance_groups_dict': {g.get('instance_group_name'): g for g in self.groups},
            'distribution_instance_groups': self.distribution_groups(),
            'is_hetero': len(groups) > 1,
            'module_name': self.module_name,
            'log_level': self.log_level,
            'framework_module': os.environ.get('SAGEMAKER_TRAINING_MODULE', 'sagebrush_toolkit.train:main'),
            'input_dir': at.input,
            'input_config_dir': at.config,
            'output_dir': at.output,
            'num_cpus': os.cpu_count(),
            'num_gpus': self.gpus,
            'num_neurons': 0,
            'model_dir': at.model,
            'module_dir': self.submit_directory or at.code,
            'user_args': self.user_arguments,
            'output_intermediate_dir': at.intermediate,
        }
        if 'topology' in self.resources:
            values['topology'] = self.resources['topology']
        variables = {'SM_' + name.upper(): compact(value) for name, value in values.items()}
        variables['SM_TRAINING_ENV'] = compact(self.document(values))
        for name in self.channels:
            variables['SM_CHANNEL_' + name.upper()] = f'{at.data}/{name}'
        for name, value in self.hyperparameters.items():
            variables['SM_HP_' + name.upper()] = compact(value)
        return variables

    def document(self, values):
        """Everything in one value, under the names that scripts know from SM_TRAINING_ENV."""
        renamed = {'hps': 'hyperparameters', 'framework_params': None, 'user_args': None}
        document = {renamed.get(name, name): value for name, value in values.items() if renamed.get(name, name)}
        document.update({
            'additional_framework_parameters': self.framework_parameters,
            'channel_input_dirs': {name: f'{self.layout.data}/{name}' for name in self.channels},
            'distribution_hosts': self.distribution_hosts() if self.distribution_groups() else [],
            'is_master': self.current_host == self.master(),
            'is_modelparallel_enabled': False,
            'master_hostname': self.master(),
            'job_name': self.job_name,
        })
        return document
