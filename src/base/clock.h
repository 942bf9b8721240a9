/* Clocks. */
#ifndef WR_CLOCK_H
#define WR_CLOCK_H

/* Seconds since an arbitrary moment; never goes back. */
double wr_clock_seconds(void);

/* Seconds that the calling thread has computed: what other programs do meanwhile does not count. A
 * system call, some tenths of a microsecond. */
double wr_clock_thread_seconds(void);

#endif
