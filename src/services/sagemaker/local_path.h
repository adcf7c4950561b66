/* local_path.h - the places in a container that a request may name. */
#ifndef SERVICES_SAGEMAKER_LOCAL_PATH_H
#define SERVICES_SAGEMAKER_LOCAL_PATH_H

#include <stddef.h>

#include "base/err.h"

/* A channel's name is a folder's name. 'number' counts from 1, as the member is called in the error. */
int local_path_check_channel(size_t number, const char *name, struct err *err);

/* CheckpointConfig.LocalPath: "" is fine, it means /opt/ml/checkpoints. */
int local_path_check_checkpoints(const char *path, struct err *err);

/* TensorBoardOutputConfig.LocalPath: "" is fine, it means /opt/ml/output/tensorboard; else below /opt/ml/output. */
int local_path_check_tensorboard(const char *path, struct err *err);

/* LocalPath of a processing job's input or output: below /opt/ml/processing. 'noun' and 'name' are for the error. */
int local_path_check_processing(const char *noun, const char *name, const char *path, struct err *err);

#endif
