/* simulation_report.h - what a simulation showed, for people: a page of text, and a picture. */
#ifndef FLEET_SIMULATION_REPORT_H
#define FLEET_SIMULATION_REPORT_H

#include "fleet/simulation.h"

void simulation_text(const struct simulation *, struct buf *);
void simulation_svg(const struct simulation *, struct buf *);

#endif
