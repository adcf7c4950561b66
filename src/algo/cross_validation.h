/* cross_validation.h - k folds, so many times over; every booster is kept, and the server answers with their mean. */
#ifndef ALGO_CROSS_VALIDATION_H
#define ALGO_CROSS_VALIDATION_H

#include "algo/boost.h"

int cross_validate(struct job *, struct dataset *all, struct err *err);

#endif
