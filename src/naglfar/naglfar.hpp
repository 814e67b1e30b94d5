/// @file naglfar.hpp
/// All layers of the library, for a program that does not want to choose
/// among their headers.
///
/// Invariant: this header includes, directly or through another, each header
/// of the library except the simulated kernel's (sim.hpp).

#pragma once

#include "naglfar/http.hpp"
#include "naglfar/mixins.hpp"
#include "naglfar/scheduler/signals.hpp"
#include "naglfar/server/waiters.hpp"
