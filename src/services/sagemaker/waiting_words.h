/* waiting_words.h - why somebody waits, in words for him. */
#ifndef SERVICES_SAGEMAKER_WAITING_WORDS_H
#define SERVICES_SAGEMAKER_WAITING_WORDS_H

#include "services/sagemaker/allocation_impl.h"

/* As the scheduler says it, and which warm pools keep its place until when; "" when it does not wait. Cheap enough for
 * every Describe. */
const char *waiting_words(struct arena *, struct engine *, const char *key);

#endif
