#pragma once

#include <string>
#include <utility>

namespace titip::node {

/// Decides when a store that has come to where none was is opened. Knows no clock and no disk.
///
/// Rationale: a file that somebody copies there is a store from its first pages on. Opened then, it would be
/// written to from two sides.
class newcomer {
public:
    static constexpr int enough_looks = 3; ///< in a row that saw what the one before saw

    /// `file`: whatever differs while it is being written. True: it is whole, as far as can be seen.
    bool on_look(bool is_there, std::string file)
    {
        looks_ = is_there && file == file_ ? looks_ + 1 : 0;
        file_ = std::move(file);
        return looks_ >= enough_looks;
    }

private:
    std::string file_;
    int looks_ = 0;
};

} // namespace titip::node
