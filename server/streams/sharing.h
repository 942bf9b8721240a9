/*
 * Sharing: what streams begin with alike is computed once, and its pages are shared.
 *
 * A stream that is about to be fed for the first time looks for another with the same options whose
 * opening (opening.h) begins with the same tokens: one that is under way, or one whose request has
 * ended and that was kept for a while. It becomes a fork of that stream, taken back to where the
 * two part. A fork taken back is exact, so the bits are those that it would have computed.
 *
 * How far back a stream can be taken: to anywhere while its window has not moved on, and always to
 * any of its sinks, which is where a conversation's system message is pinned.
 *
 * While another stream is just being fed what both begin with, it waits for it. Kept streams are
 * the first to go when memory is wanted.
 */
#ifndef WEIR_SERVER_SHARING_H
#define WEIR_SERVER_SHARING_H

#include "streams/registry.h"

#define SHARING_TOKENS 32 /* fewer are computed as fast as they are shared */

/* What waits for a stream that has nothing yet is about to be fed; `more` tokens may be drawn after
 * it. Returns whether the stream has become a fork: some of what waited need not be fed. The
 * session must not have a turn while it waits_for another. */
bool sharing_begin(server_registry *registry, server_session *session, int64_t more);

/* A request's own session, which nobody uses any more. False: it is not worth keeping. */
bool sharing_keep(server_registry *registry, server_session *session);
/* The kept session that is missed least is closed. False: none is kept. */
bool sharing_drop(server_registry *registry);
/* The session is about to be closed: nobody waits for it. */
void sharing_forget(server_registry *registry, const server_session *session);

#endif
