#include "journal/writer.hpp"

#include <algorithm>

namespace titip::journal {

writer::writer(MDB_env* environment, const tables& t, v1::Meta meta, surroundings around,
               space& room, options opts, std::function<void(outcome)> committed,
               std::function<void(standing_room)> looked, std::function<void(std::string)> failed)
    : environment_(environment), t_(t), meta_(std::move(meta)), around_(std::move(around)),
      space_(room), opts_(opts), committed_(std::move(committed)), looked_(std::move(looked)),
      failed_(std::move(failed)), thread_([this] { run(); })
{
}

writer::~writer()
{
    {
        const std::lock_guard lock{mutex_};
        stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

void writer::submit(std::unique_ptr<operation> op)
{
    {
        const std::lock_guard lock{mutex_};
        (op->is_urgent ? urgent_ : ordinary_).push_back(std::move(op));
    }
    wake_.notify_one();
}

void writer::replace_identity(std::shared_ptr<const trust::identity> identity)
{
    const std::lock_guard lock{mutex_};
    next_identity_ = std::move(identity);
}

writer::batch writer::take_batch()
{
    // A burst of verdicts or receipts must fit one transaction too: each rewrites a few pages.
    constexpr std::size_t most_operations = 256;
    std::unique_lock lock{mutex_};
    wake_.wait(lock, [this] { return stop_ || !urgent_.empty() || !ordinary_.empty(); });
    batch out;
    if (next_identity_)
        around_.identity = std::move(next_identity_);
    while (!urgent_.empty() && out.size() < most_operations) {
        out.push_back(std::move(urgent_.front()));
        urgent_.pop_front();
    }
    std::size_t weight = 0;
    while (!ordinary_.empty() && out.size() < most_operations) {
        weight += ordinary_.front()->weight_bytes;
        if (weight > opts_.group_bytes && !out.empty())
            break;
        out.push_back(std::move(ordinary_.front()));
        ordinary_.pop_front();
    }
    return out;
}

void writer::run()
{
    opts_.watched->begin_thread();
    for (;;) {
        opts_.watched->say(activity::kind::idle);
        auto group = take_batch();
        if (group.empty())
            return;
        opts_.watched->say(activity::kind::own);
        auto failed = commit(group);
        if (failed == vault::errc::full && group.size() > 1) {
            // What frees space, or records that custody has moved, must not wait for what needs
            // space.
            batch urgent;
            for (auto& each : group)
                if (each->is_urgent)
                    urgent.push_back(std::move(each));
                else
                    each->settle(vault::errc::full);
            group = std::move(urgent);
            failed = group.empty() ? error_code{} : commit(group);
        }
        for (const auto& each : group)
            each->settle(failed);
    }
}

error_code writer::commit(const batch& group)
{
    if (has_failed_)
        return vault::errc::store_failed;
    const bool writes = std::ranges::any_of(group, [](const auto& each) { return each->writes; });
    try {
        if (!writes) {
            looked_(look_for_room(environment_, t_, space_, meta_));
            return {};
        }
        auto meta = meta_;
        transaction txn{environment_, transaction::mode::write};
        writing w{txn, t_, meta, around_, space_, wall_now()};
        for (const auto& each : group)
            each->apply(w);
        w.finish();
        auto findings = w.changed_findings();
        const auto rows = row_bytes(txn, t_);
        const activity::at_disk waiting{*opts_.watched};
        txn.commit();
        meta_ = std::move(meta);
        committed_({.meta = meta_,
                    .changes = w.take_changes(),
                    .findings = std::move(findings),
                    .new_verdicts = w.new_verdicts(),
                    .file_bytes = space_.file_bytes(),
                    .row_bytes = rows,
                    .space = look_for_room(environment_, t_, space_, meta_)});
        return {};
    } catch (const boost::system::system_error& failure) {
        return explain(failure);
    } catch (const rotten_row& rotten) {
        fail(rotten.what());
        return vault::errc::store_failed;
    }
}

bool is_for_want_of_space(const error_code& why, const space& room)
{
    return why == error_code{MDB_MAP_FULL, lmdb_category()} || why.value() == ENOSPC ||
           why.value() == EDQUOT || (why.value() == EIO && room.is_disk_full());
}

error_code writer::explain(const boost::system::system_error& failure)
{
    if (is_for_want_of_space(failure.code(), space_))
        return vault::errc::full;
    fail(failure.what());
    return vault::errc::store_failed;
}

void writer::fail(const std::string& why)
{
    has_failed_ = true;
    failed_(why);
}

} // namespace titip::journal
