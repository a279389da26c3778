#pragma once

#include "journal/birth.hpp"
#include "vault/support.hpp"

#include <filesystem>
#include <stdexcept>
#include <string>

namespace titip::tests {

/// Goes with all that is in it.
class temporary_folder {
public:
    temporary_folder()
        : path_(std::filesystem::temp_directory_path() /
                ("titip-" + record_id::random().to_string()))
    {
        std::filesystem::create_directories(path_);
    }
    temporary_folder(const temporary_folder&) = delete;
    ~temporary_folder() { std::filesystem::remove_all(path_); }
    const std::filesystem::path& path() const noexcept { return path_; }

private:
    std::filesystem::path path_;
};

/// A store in a folder of its own: office-1, with an upstream. LMDB must not be open twice in one
/// process, so close() before looking at the files.
class journal_fixture {
public:
    journal_fixture()
    {
        options.directory = folder.path() / "store";
        options.node = "office-1";
        options.has_upstream = true;
        options.quota_bytes = 1u << 30;
        options.group_bytes = 1u << 20;
        options.identity = everyone().station;
    }

    /// An empty one where there is none.
    result<std::unique_ptr<journal::store>, journal::open_failure> try_open()
    {
        if (const auto there = journal::is_there(options.directory); there && !*there)
            if (auto made = journal::make_empty(options.directory, options.node); !made)
                return std::move(made.error());
        return journal::store::open(options, pool,
                                    [this](const std::string& why) { failures.push_back(why); });
    }
    journal::store& open()
    {
        auto opened = try_open();
        if (!opened)
            throw std::runtime_error{opened.error().sentence};
        store = std::move(*opened);
        return *store;
    }
    void close() { store.reset(); }
    journal::store& reopen()
    {
        close();
        return open();
    }
    std::filesystem::path data_file() const { return options.directory / "data.mdb"; }

    temporary_folder folder;
    asio::thread_pool pool{2};
    std::vector<std::string> failures; ///< told on the writer thread: look after close()
    journal::store::options options;
    std::unique_ptr<journal::store> store;
    std::mt19937_64 random{7};
};

inline journal::submission submission_of(bytes sealed, record_id id = record_id::random())
{
    journal::submission out{
        .record = id, .mac = sha256(sealed), .taken_at = from_ms(1'764'000'000'000)};
    out.digest = sha256(sealed);
    out.sealed = std::move(sealed);
    return out;
}

/// What a custodian above would sign about a record here.
inline envelope::receipt receipt_for(const journal::outgoing& what, wall_time held_at = wall_now())
{
    return {.record = what.view.key.record,
            .station = what.view.key.station,
            .epoch = what.view.epoch,
            .at = envelope::sequence{what.view.sequence},
            .digest = what.view.digest,
            .size_bytes = what.view.size_bytes,
            .manifest_hash = what.manifest_hash,
            .held_at = held_at};
}

/// An upstream that holds all that was ever numbered here would sign this.
inline envelope::custody custody_of_all(journal::store& of, wall_time at = wall_now(),
                                        std::string station = "office-1")
{
    envelope::custody out{.station = std::move(station), .at = at, .epochs = {}};
    for (const auto& each : finish(of.upstream()).value().heads)
        if (each.sequence > 0)
            out.epochs.push_back({.epoch = each.epoch,
                                  .ranges = {{envelope::sequence{1},
                                              envelope::sequence{each.sequence}, each.hash}}});
    return out;
}

inline std::vector<record_id> ids_of(const std::vector<journal::placed>& records)
{
    std::vector<record_id> out;
    for (const auto& each : records)
        out.push_back(each.key.record);
    return out;
}

inline envelope::verdict verdict_on(const journal::record_view& record, envelope::verdict_kind kind,
                                    wall_time at = wall_now())
{
    return {.record = record.key.record,
            .station = record.key.station,
            .digest = record.digest,
            .kind = kind,
            .at = at};
}

} // namespace titip::tests
