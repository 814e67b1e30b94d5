/// @file mixins.hpp
/// The same handler under threads and under processes: two mix-ins beside
/// ScheduledMixIn, and the list of waiters that they share. This header is
/// what a program includes; the parts stand in mixins/.

#pragma once

#include "naglfar/mixins/forking_mix_in.hpp"
#include "naglfar/mixins/shared_waiters.hpp"
#include "naglfar/mixins/threading_mix_in.hpp"
