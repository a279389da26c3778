#pragma once

#include "journal/comparison.hpp"
#include "journal/findings.hpp"
#include "journal/retrying.hpp"
#include "journal/store.hpp"
#include "journal/writer.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/post.hpp>

#include <map>
#include <mutex>
#include <set>
#include <thread>

/// What a store is made of. Private to this room.
namespace titip::journal {

/// LMDB's environment and our lock on the directory.
class environment {
public:
    environment(const std::filesystem::path& directory, std::uint64_t map_bytes);
    /// To be read only, by a process that is alone with it: no lock, no byte changed.
    static std::unique_ptr<environment> open_read_only(const std::filesystem::path& directory);
    environment(const environment&) = delete;
    ~environment();
    MDB_env* get() const noexcept { return handle_; }

private:
    environment() = default;
    void open(const std::filesystem::path& directory, std::uint64_t map_bytes, unsigned flags);
    MDB_env* handle_ = nullptr;
};

class directory_lock {
public:
    /// Throws open_failure.
    explicit directory_lock(const std::filesystem::path& directory);
    directory_lock(const directory_lock&) = delete;
    ~directory_lock();

    /// The newest commit, told beside the store: a meta page that lost a bit may show an older one,
    /// and then LMDB goes back to the commit before without a word. Not synced: written after the
    /// commit, so that what survives a power failure is never newer than the store.
    void note_commit(std::uint64_t transaction) noexcept;
    /// The first of this process, synced: a lock that knows of none stands beside a copy.
    void note_start(std::uint64_t transaction);
    std::uint64_t noted_commit() const noexcept;
    /// What was told of a store that another one takes the place of. Throws open_failure.
    void forget_commits();

private:
    int file_ = -1;
};

class copying; // a backup under way; see backup.cpp
void give_up_copy(copying& under_way) noexcept;

/// An opened record, by when.
struct due {
    std::int64_t opened_ms = 0;
    place at{};
};

struct store::parts {
    parts(options o, asio::thread_pool& p);

    options opts;
    asio::thread_pool& pool;
    directory_lock lock;
    std::unique_ptr<environment> env;
    tables t;
    bytes submission_key;
    std::unique_ptr<space> room;
    std::function<void(std::string)> failed;
    due swept; ///< where the next look at what is due goes on; of that alone, one at a time
    numbered relayed_from{}; ///< the same of find_relayed()

    mutable std::mutex mutex; ///< guards what follows
    totals newest;
    standing_findings standing;
    epoch_id epoch;
    std::string centre_epoch;                      ///< of Meta
    std::map<digest, revoked_certificate> revoked; ///< shut out for good
    place relayed_low{};                           ///< no record that is relayed is before it
    std::uint64_t relayed_changes = 0;             ///< records that became so
    std::shared_ptr<const envelope::custody>
        held_above; ///< the newest that was said; null: none yet
    std::map<std::string, std::uint64_t, std::less<>> newest_verdicts;
    std::set<place> needs_person; ///< records on which somebody has to do something
    std::set<place> changed_while_counting;
    bool are_needs_counted = false;
    asio::any_io_executor told_on;
    std::shared_ptr<std::function<void(const change&)>> told;

    std::unique_ptr<journal::writer> writer; ///< its thread uses all the others
    std::weak_ptr<journal::copying> copying; ///< while a backup is under way
    std::jthread copier;                     ///< last: it reads the store for a backup

    void on_commit(writer::outcome outcome);
    void on_looked(const standing_room& found);
    void note_needs_person(const std::vector<change>& changes);
    std::shared_ptr<const trust::identity> current_identity() const;
    epoch_id current_epoch() const;
    std::shared_ptr<const envelope::custody> current_custody() const;
    /// Whether it is not the only copy. `held`: null: nothing was said yet.
    bool may_erase(const transaction& txn, const v1::Meta& meta, place at,
                   const envelope::custody* held) const;

    /// See find_set_aside().
    asio::awaitable<result<set_aside>> find_aside(std::optional<place> after,
                                                  std::function<bool(const v1::Row&)> wanted);

    /// What a look at the store gives, on a pool thread: a rotten row costs its record, a rotten
    /// index or an error of LMDB is the store's.
    template <class Look>
    auto guarded(Look& look) -> decltype(look())
    {
        try {
            return look();
        } catch (const rotten_row& rotten) {
            if (rotten.concerns_one_record())
                return error_code{::titip::vault::errc::rotten};
            failed(rotten.what());
        } catch (const boost::system::system_error& failure) {
            failed(failure.what());
        }
        return error_code{::titip::vault::errc::store_failed};
    }
};

/// An empty file of this name says that the store beside it is an old state, or a copy.
constexpr auto declared_copy = "restored";

/// In the state directory; what compact() leaves there when it is killed.
constexpr auto compacting_folder = "compacting";

/// directory_lock::noted_commit() without a lock: 0 if there is none.
std::uint64_t noted_commit_in(const std::filesystem::path& directory);

/// Those shut out for good.
std::map<digest, revoked_certificate> revoked_in(const transaction& txn, const tables& t);

totals to_totals(const v1::Meta& meta, const standing_findings& standing);
v1::Meta read_meta(const transaction& txn, const tables& t);

/// What an audit does about an index that is rotten, or that LMDB cannot follow.
enum class on_damage {
    throws,  ///< who works with such a store has to end
    goes_on, ///< names it, and looks at the rest
};
/// See store::audit(). `on_step` is told now and then that it goes on.
std::vector<std::string> audit_of(const transaction& txn, const tables& t, on_damage what,
                                  const std::function<void()>& on_step = {});

/// The checks of open.cpp that need no environment. Removes what was left of a store that was never
/// finished. Throws open_failure.
void check_meta_pages(const std::filesystem::path& data_file, std::uint64_t noted_commit);

} // namespace titip::journal
