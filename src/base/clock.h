/* The monotonic clock. */
#ifndef WR_CLOCK_H
#define WR_CLOCK_H

/* Seconds since an arbitrary moment; never goes back. */
double wr_clock_seconds(void);

#endif
