/// @file mixins.hpp
/// The mix-ins ThreadingMixIn and ForkingMixIn, which serve each request in a
/// thread or in a process, and SharedWaiters, their list of waiting requests.
/// The same handler runs under these mix-ins and under ScheduledMixIn.
///
/// This header only includes the three headers, which state their invariants.

#pragma once

#include "naglfar/mixins/forking_mix_in.hpp"
#include "naglfar/mixins/shared_waiters.hpp"
#include "naglfar/mixins/threading_mix_in.hpp"
