#pragma once

#include "journal/capacity.hpp"

#include <cstdint>
#include <filesystem>

namespace titip::journal {

/// Room on the disk: a quota, and a reserve that is allocated ahead on the data file, so that a
/// full disk shows before a record is accepted, and receipts and deletes can always commit.
/// Threads: the writer thread only.
class space {
public:
    struct options {
        std::uint64_t quota_bytes = 64ull << 30;
        /// Two transactions: the one that is refused room and the deletes that follow it.
        std::uint64_t reserve_bytes = 16u << 20;
    };

    /// Opens `data_file` for allocating only; throws boost::system::system_error.
    space(const std::filesystem::path& data_file, options opts);
    space(const space&) = delete;
    ~space();

    /// Allocates the reserve behind the file's present end, generously if the disk allows. False:
    /// not even the bare reserve could be had.
    bool top_up();

    /// The size of the record that was refused last; 0: the last one found room. What status calls
    /// full is that a record was turned away and still would be, not that the last byte is gone.
    void note_refusal(std::uint64_t weight_bytes) noexcept { refused_bytes_ = weight_bytes; }
    std::uint64_t refused_bytes() const noexcept { return refused_bytes_; }

    std::uint64_t file_bytes() const;
    std::uint64_t quota_bytes() const noexcept { return opts_.quota_bytes; }
    std::uint64_t reserve_bytes() const noexcept { return opts_.reserve_bytes; }

    /// Whether a commit that just failed failed because the disk is full: LMDB reports a short
    /// write as EIO, so its code alone does not tell.
    bool is_disk_full() const;

    /// What quota and disk leave, as of now. `unused_bytes`: pages of the file that hold nothing.
    capacity look(std::uint64_t live_bytes, std::uint64_t unused_bytes) const;

private:
    options opts_;
    int file_;
    std::uint64_t allocated_end_ = 0;
    room_figures::reserve_state reserve_ = room_figures::reserve_state::had;
    std::uint64_t refused_bytes_ = 0;
};

} // namespace titip::journal
