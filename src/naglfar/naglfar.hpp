/// @file naglfar.hpp
/// All layers: what a program includes that does not want to choose.

#pragma once

#include "naglfar/http.hpp"
#include "naglfar/mixins.hpp"
#include "naglfar/scheduler/signals.hpp"
#include "naglfar/server/waiters.hpp"
