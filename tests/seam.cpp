// What the headers of the library make of their templates, to be looked at by
// test_seam.py.

#include "naglfar/http.hpp"
#include "naglfar/mixins.hpp"

namespace naglfar {

template class Channel<int>;
template class ScheduledMixIn<HTTPServer>;
template class ThreadingMixIn<HTTPServer>;
template class ForkingMixIn<HTTPServer>;

}  // namespace naglfar
