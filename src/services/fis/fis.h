/* fis.h - AWS Fault Injection Service, as the rest of the house sees it: experiments on what runs here. */
#ifndef SERVICES_FIS_FIS_H
#define SERVICES_FIS_FIS_H

#include "engine/kind.h"

extern const struct service_ops fis_ops;
extern const struct kind *const fis_kinds[]; /* NULL-terminated */

#endif
