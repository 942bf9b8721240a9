/* How likely tokens were, as OpenAI's clients read it. */
#ifndef WEIR_SERVER_LOGPROB_H
#define WEIR_SERVER_LOGPROB_H

#include "parts/json.h"
#include "weir/model.h"

/* {"token":…,"logprob":…,"bytes":[…],"top_logprobs":[…]} of a token, drawn from the logits `row`
 * [vocabulary]: of the model itself, before temperature and the other rules. `top`: the `top` most
 * likely beside it. */
json_t *logprob_json(const weir_model *model, const float *row, int32_t token, int top);

#endif
