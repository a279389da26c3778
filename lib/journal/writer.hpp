#pragma once

#include "base/activity.hpp"
#include "journal/writing.hpp"

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace titip::journal {

/// Something to be done in the writer's next transaction. Private to this room.
class operation {
public:
    virtual ~operation() = default;
    /// Runs on the writer thread, perhaps again in another transaction if the first was given up.
    virtual void apply(writing& w) = 0;
    /// After the commit has been synced, or with why it was not. Writer thread; must not block.
    virtual void settle(error_code failed) noexcept = 0;
    /// Bytes of envelope that it adds: what bounds a shared transaction.
    std::size_t weight_bytes = 0;
    /// Receipts, verdicts and deletes go before new records, and are tried again when those did not
    /// fit.
    bool is_urgent = false;
    /// False: it only wants to have passed through this thread (the watchdog's token).
    bool writes = true;
};

/// What a transaction failed for: LMDB says EIO of a short write too, so the disk is asked.
bool is_for_want_of_space(const error_code& why, const space& room);

/// The one thread that writes: all that waits when it comes round shares one transaction, one sync.
/// What only passes through has it look at the disk, which others fill and empty too: `looked` is told.
///
///     a commit that failed for lack of space refuses its new records (full) and goes on
///     any other failure is final: a page whose sync failed may count as clean, so that trying
/// again
///     proves nothing. Every operation from then on settles with store_failed, and `failed` is told
/// once
class writer {
public:
    struct options {
        std::size_t group_bytes = 8u << 20;
        std::shared_ptr<activity> watched; ///< what the writer is about, for who watches; not null
    };
    /// What a commit brought about; told on the writer thread, before the operations settle.
    struct outcome {
        const v1::Meta& meta;
        std::vector<change> changes;
        std::optional<standing_findings> findings; ///< if they changed
        std::vector<std::pair<std::string, std::uint64_t>> new_verdicts;
        std::uint64_t file_bytes = 0;
        std::uint64_t row_bytes = 0;
        standing_room space;
    };

    writer(MDB_env* environment, const tables& t, v1::Meta meta, surroundings around, space& room,
           options opts, std::function<void(outcome)> committed,
           std::function<void(standing_room)> looked, std::function<void(std::string)> failed);
    /// Finishes what waits, then ends.
    ~writer();

    void submit(std::unique_ptr<operation> op);

    /// For SIGHUP: signatures from now on.
    void replace_identity(std::shared_ptr<const trust::identity> identity);

private:
    using batch = std::vector<std::unique_ptr<operation>>;
    void run();
    batch take_batch();
    /// The error that the batch settles with; none if it is committed.
    error_code commit(const batch& group);
    error_code explain(const boost::system::system_error& failure);
    void fail(const std::string& why);

    MDB_env* environment_;
    const tables& t_;
    v1::Meta meta_; ///< as of the newest commit
    surroundings around_;
    space& space_;
    options opts_;
    std::function<void(outcome)> committed_;
    std::function<void(standing_room)> looked_;
    std::function<void(std::string)> failed_;

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::unique_ptr<operation>> urgent_;
    std::deque<std::unique_ptr<operation>> ordinary_;
    std::shared_ptr<const trust::identity> next_identity_;
    bool stop_ = false;
    bool has_failed_ = false;
    std::thread thread_; ///< last: it uses all the others
};

} // namespace titip::journal
