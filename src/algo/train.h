/* train.h - a training job in the container contract. */
#ifndef ALGO_TRAIN_H
#define ALGO_TRAIN_H

/* Reads /opt/ml/input, trains, writes /opt/ml/model. Returns the exit status; what went wrong stands in
 * /opt/ml/output/failure, with "ClientError: " before it when it is the user's to mend. */
int train(void);

#endif
