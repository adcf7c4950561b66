/* template_check.h - refuses what an experiment could not do. */
#ifndef SERVICES_FIS_TEMPLATE_CHECK_H
#define SERVICES_FIS_TEMPLATE_CHECK_H

#include "engine/call.h"

int template_check(struct call *, const struct doc *template, struct err *err); /* AWS's ValidationException */

#endif
