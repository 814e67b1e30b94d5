// Choosing which job runs next, and the search through all choices.
//
// Where the choice is made: the scheduler's own loop pops the head of its
// queue, and nothing in the library should have to ask whether it may. So the
// exploration has a loop of its own in place of Scheduler::run(): before each
// turn it takes the whole queue out, chooses, and puts the others back in
// their order, by the queue's public functions; then it begins the turn with
// a new budget, as the scheduler does. The queue and the budget are private
// members of Scheduler. C++ has a door for that: access is not checked for
// the arguments of an explicit instantiation (C++20, 13.9.3, paragraph 6).
// The library stays as it is, and what is explored is the object code that
// all programs link.

#include "explore.hpp"

#include "claims.hpp"

#include <algorithm>
#include <iomanip>
#include <sstream>

namespace explore {

using namespace naglfar;

// [explore-private-members]
JobQueue& queueOf(Scheduler& scheduler);
sys::Time deadlineOf(const Scheduler& scheduler);
const Job& pollerOf(const Scheduler& scheduler);

template <auto queue, auto timers, auto poller>
struct PrivateMembers {
  friend JobQueue& queueOf(Scheduler& scheduler) { return scheduler.*queue; }
  friend sys::Time deadlineOf(const Scheduler& scheduler) {
#ifdef NAGLFAR_SMALL
    return (scheduler.*timers).empty() ? never
                                       : (scheduler.*timers).begin()->first;
#else
    return (scheduler.*timers).next();
#endif
  }
  friend const Job& pollerOf(const Scheduler& scheduler) {
    return scheduler.*poller;
  }
};

#ifdef NAGLFAR_SMALL
template struct PrivateMembers<&Scheduler::ready_, &Scheduler::waits_,
                               &Scheduler::pollerJob_>;
#else
template struct PrivateMembers<&Scheduler::ready_, &Scheduler::timers_,
                               &Scheduler::pollerJob_>;

unsigned& operationsOf(Scheduler& scheduler);
template <auto operations>
struct Budget {
  friend unsigned& operationsOf(Scheduler& scheduler) {
    return scheduler.*operations;
  }
};
template struct Budget<&Scheduler::operations_>;
#endif
// [/explore-private-members]

// [explore-choose]
Run::Run(sim::Kernel& simulated, Scheduler& scheduler, const Choices& given,
         const Tell& tell)
    : kernel_(simulated), scheduler_(scheduler), given_(given), tell_(tell) {
  kernel_.choose = [this](std::size_t of) { return choose(of); };
#if CLAIMS(unhandled)
  scheduler_.unhandled = [this](std::exception_ptr e) { escaped_ = e; };
#endif
}

Run::~Run() {
  kernel_.choose = nullptr;
#if CLAIMS(unhandled)
  scheduler_.unhandled = nullptr;
#endif
}

std::size_t Run::choose(std::size_t of) {
  if (of == 1) return 0;
  const std::size_t place = made_.size();
  const std::uint8_t taken = place < given_.size() ? given_[place] : 0;
  if (taken >= of || of > 255)
    throw std::logic_error("there is no such choice: another program?");
  made_.push_back({taken, static_cast<std::uint8_t>(of)});
  return taken;
}

void Run::fail(const std::string& what) {
  if (failure_.empty()) failure_ = what;
  throw Failed{};
}
// [/explore-choose]

// [explore-next]
namespace {

struct Alternative {
  Job* job;
  bool late = false;  // the next deadline passes before it runs
};

}  // namespace

// A look that finds nothing changes nothing, and is no alternative.
bool Run::findsSomething() const {
#ifdef NAGLFAR_EPOLL
  return kernel_.hasNews();
#else
  return last_ != &pollerOf(scheduler_);
#endif
}

Job* Run::next() {
  JobQueue& queue = queueOf(scheduler_);
  std::vector<Job*> queued;
  while (Job* job = queue.pop()) queued.push_back(job);
  if (queued.empty()) return nullptr;

  const Job* poller = &pollerOf(scheduler_);
  const sys::Time deadline = deadlineOf(scheduler_);
  std::vector<Alternative> alternatives;
  for (Job* job : queued) {
    // If all wait, the poller waits for news and for time.
    const bool looks = job == poller && queued.size() > 1;
    if (!looks || findsSomething()) alternatives.push_back({job});
    if (looks && deadline != never) alternatives.push_back({job, true});
  }
  const Alternative chosen = alternatives[choose(alternatives.size())];
  for (Job* job : queued)
    if (job != chosen.job) queue.append(*job);
  if (chosen.late) kernel_.wait(deadline);
  last_ = chosen.job;
  ++turns_;
  if (tell_) tellTurn(*chosen.job, chosen.late, *alternatives[0].job);
  return chosen.job;
}
// [/explore-next]

// [explore-tell]
std::string Run::nameOf(const Job& job) const {
  if (const auto* coroutine = dynamic_cast<const Coroutine*>(&job))
    return coroutine->name != nullptr ? coroutine->name : "a coroutine";
  return &job == &pollerOf(scheduler_) ? "the poller" : "a hang-up watch";
}

void Run::tellTurn(const Job& job, bool late, const Job& head) {
  std::ostringstream line;
  line << std::setw(4) << turns_ << "  " << nameOf(job);
  if (late) line << ", after the next deadline";
  if (&job != &head) line << ", before " << nameOf(head);
  tell_(line.str());
}
// [/explore-tell]

// [explore-all]
void Run::all() {
  try {
    while (Job* job = next()) {
#if CLAIMS(budgets)
      operationsOf(scheduler_) = 0;
#endif
      job->run();
      if (escaped_) std::rethrow_exception(std::exchange(escaped_, nullptr));
    }
    tellWhatWaits("no job can run");
  } catch (const Failed&) {
  } catch (const sim::Stuck&) {
    tellWhatWaits("nothing is under way");
  } catch (const std::exception& error) {
    failure_ = error.what();
  } catch (...) {  // what a program throws on purpose
    scheduler_.cancel();
    throw;
  }
  if (failure_.empty()) return;
  // The coroutines that are left use what the program is about to leave.
  scheduler_.cancel();
  throw Failed{};
}

// Does nothing if no coroutine is left.
void Run::tellWhatWaits(const char* why) {
#if CLAIMS(coroutines)
  scheduler_.forEachCoroutine([&](const Coroutine& c) {
    if (failure_.empty()) failure_ = std::string(why) + ", and there are";
    failure_ += std::string("\n      ") + nameOf(c) + ", which waits for " +
                (c.waitsFor != nullptr ? c.waitsFor : "its turn");
  });
#else
  std::ostringstream list;
  scheduler_.dump(list);
  if (list.str().empty()) return;
  failure_ = std::string(why) + ", and there are\n" + list.str();
  failure_.pop_back();  // the line end
#endif
}
// [/explore-all]

// [explore-once]
Outcome runOnce(const Program& program, const Choices& given,
                const Tell& tell, const sim::Faults& faults,
                std::uint64_t seed) {
  sim::Kernel kernel(seed, faults);
  kernel.trace = tell;
  Outcome outcome;
  {
    Scheduler scheduler;
    Run run(kernel, scheduler, given, tell);
    try {
      program.run(run);
    } catch (const Run::Failed&) {
    } catch (const std::exception& error) {
      outcome.failure = error.what();
    }
    if (outcome.failure.empty()) outcome.failure = run.failure();
    outcome.made = run.made();
    outcome.turns = run.turns();
  }
  if (outcome.failure.empty() && kernel.openDescriptors() != 0)
    outcome.failure = "descriptors are left open";
  return outcome;
}
// [/explore-once]

// [explore-all-schedules]
Explored explore(const Program& program, std::uint64_t most) {
  Explored result;
  std::vector<Choices> level(1);  // all with equally many that are not 0
  std::uint64_t seen = 1;         // run, or in a level
  for (; !level.empty() && !result.failure; ++result.differing) {
    std::vector<Choices> next;
    for (const Choices& given : level) {
      Outcome outcome = runOnce(program, given);
      ++result.schedules;
      result.turns = std::max(result.turns, outcome.turns);
      if (!outcome.failure.empty()) {
        if (!result.failure || outcome.turns < result.failure->turns)
          result.failure = std::move(outcome);
        continue;
      }
      Choices prefix = given;
      for (std::size_t i = given.size(); i < outcome.made.size(); ++i) {
        prefix.push_back(0);
        for (prefix[i] = 1; prefix[i] < outcome.made[i].of; ++prefix[i])
          if (++seen <= most) next.push_back(prefix);
        prefix[i] = 0;
      }
    }
    level = std::move(next);
  }
  result.all = seen <= most && !result.failure;
  --result.differing;
  return result;
}
// [/explore-all-schedules]

// [explore-choices]
Choices Outcome::choices() const {
  Choices result;
  for (const Choice choice : made) result.push_back(choice.taken);
  while (!result.empty() && result.back() == 0) result.pop_back();
  return result;
}
// [/explore-choices]

}  // namespace explore
