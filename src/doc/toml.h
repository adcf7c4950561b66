/* toml.h - TOML 1.0 text to documents: configuration files that people write.
 *
 * All of TOML but dates and times, infinity and not-a-number, which are refused by name: no setting is one. */
#ifndef DOC_TOML_H
#define DOC_TOML_H

#include "base/err.h"
#include "doc/doc.h"

/* 'name' is of the file, for the text of an error: "fleet.toml:12: ...". */
int toml_parse(struct arena *, const char *name, struct str text, struct doc **ret, struct err *err);

/* The line where a value stands, or a table begins: only of what toml_parse() made, as long as its arena lives. */
int toml_line(const struct doc *);

#endif
