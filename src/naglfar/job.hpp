/// @file job.hpp
/// What can run, and the queue of what runs next.
///
/// A Job links itself into a list, so that waking a job never allocates. The
/// same list serves wherever objects stand in line: the queue of jobs, the
/// members of a task group, the waiters of a channel.
///
/// Invariants:
/// - An object stands in at most one List of a type, and at most once.
/// - An object that is destroyed leaves its list, and a list that is
///   destroyed leaves its objects unlinked, so either may go first.
///
/// Asks of no other layer.

#pragma once

namespace naglfar {

/// @addtogroup job
/// @{

// [list]
/// A list of objects that carry their own links: to append an object, to take
/// the first and to remove any costs O(1).
/// @tparam T Derived from List<T>::Link.
template <class T>
class List {
 public:
  /// The links of one object.
  class Link {
   public:
    Link& operator=(Link&&) = delete;  // nor may it be copied
    /// @return True while the object stands in a list.
    bool linked() const { return next_ != nullptr; }
    /// Leaves the list. Does nothing if the object stands in none.
    void unlink() noexcept {
      if (!linked()) return;
      previous_->next_ = next_;
      next_->previous_ = previous_;
      next_ = previous_ = nullptr;
    }

   protected:
    ~Link() { unlink(); }

   private:
    friend class List;
    Link* next_ = nullptr;
    Link* previous_ = nullptr;
  };

  ~List() {
    while (pop() != nullptr) continue;
  }

  /// Puts an object at the end.
  /// @param object It leaves the list that it stands in.
  void append(T& object) noexcept {
    static_cast<Link&>(object).unlink();
    insert(object, *ends_.previous_);
  }
  /// Puts an object at the front.
  /// @param object It leaves the list that it stands in.
  void prepend(T& object) noexcept {
    static_cast<Link&>(object).unlink();
    insert(object, ends_);
  }
  /// Puts all objects of another list at the end.
  /// @param other Empty afterwards.
  void append(List& other) noexcept {
    while (T* object = other.first()) append(*object);
  }
  /// Takes the first object out.
  /// @return That object, or null if there is none.
  T* pop() noexcept {
    T* object = first();
    if (object != nullptr) static_cast<Link*>(object)->unlink();
    return object;
  }

  /// @return The first object, or null.
  T* first() const { return at(ends_.next_); }
  /// @return The last object, or null.
  T* last() const { return at(ends_.previous_); }
  /// @param object Stands in this list.
  /// @return The object behind it, or null.
  T* next(const T& object) const {
    return at(static_cast<const Link&>(object).next_);
  }
  /// @return True if no object stands in the list.
  bool empty() const { return ends_.next_ == &ends_; }

 private:
  T* at(Link* link) const {
    return link == &ends_ ? nullptr : static_cast<T*>(link);
  }
  static void insert(Link& link, Link& behind) noexcept {
    link.previous_ = &behind;
    link.next_ = behind.next_;
    behind.next_->previous_ = &link;
    behind.next_ = &link;
  }

  // The list is a ring: ends_ stands between its last object and its first.
  struct Ends : Link {
    Ends() { this->next_ = this->previous_ = this; }
  } ends_;
};
// [/list]

// [job]
/// An object that can run. When it is destroyed, it leaves the queue.
class Job : public List<Job>::Link {
 public:
  /// Runs until it has nothing to do for now.
  virtual void run() = 0;
  /// @return True while the job stands in a queue.
  bool queued() const { return List<Job>::Link::linked(); }

 protected:
  ~Job() = default;
};

/// What runs next: first in, first out.
class JobQueue : public List<Job> {
 public:
  /// Puts a job at the end. A job that stands in a queue already stays where
  /// it is: waking it twice is the same as waking it once.
  /// @param job The job. It leaves the queue when it is popped or destroyed.
  void append(Job& job) noexcept {
    if (!job.queued()) List<Job>::append(job);
  }
};
// [/job]

/// @}

}  // namespace naglfar
