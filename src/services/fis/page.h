/* page.h - a page of a list that is all in memory: maxResults and nextToken, which counts what came before. */
#ifndef SERVICES_FIS_PAGE_H
#define SERVICES_FIS_PAGE_H

#include "engine/call.h"

int fis_page(struct call *, const char *member, const struct doc *all, struct err *err);

#endif
