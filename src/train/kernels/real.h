/*
 * The numbers that training computes with. The core is compiled twice: with float for the program,
 * and with double (WR_TRAIN_DOUBLE) for the tests, which hold every gradient against finite
 * differences.
 */
#ifndef WR_REAL_H
#define WR_REAL_H

#ifdef WR_TRAIN_DOUBLE
typedef double real;
#else
typedef float real;
#endif

#endif
