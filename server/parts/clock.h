/* The clock of deadlines and durations. */
#ifndef WEIR_SERVER_CLOCK_H
#define WEIR_SERVER_CLOCK_H

double clock_now(void); /* seconds, monotonic */

#endif
