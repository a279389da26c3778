#pragma once

#include "unit/journal/support.hpp"

#include <functional>

namespace titip::tests {

/// A small life of a store, step by step: every kind of thing that is ever committed. The same seed
/// is the same course.
class course {
public:
    explicit course(std::uint64_t seed);

    std::size_t size() const noexcept { return steps_.size(); }

    /// Walks it in a store of its own in `folder`: `begins(n)` before step n, `ended(n, store)` when
    /// it was acknowledged. Ends at the first that fails; how many were acknowledged.
    std::size_t run(const std::filesystem::path& folder, std::function<void(std::size_t)> begins,
                    std::function<void(std::size_t, journal::store&)> ended) const;

    /// What a store holds after so many steps, as snapshot_of() says it.
    const std::string& after(std::size_t steps) const { return after_.at(std::min(steps, size())); }

private:
    struct world;
    using step = std::function<bool(world&)>;
    std::vector<step> steps_;
    std::vector<std::string> after_;
};

/// Opens the store as after a restart and says what it holds: each record, its state, its number and
/// whether its bytes are right; or "refused: " and why it does not open.
std::string snapshot_of(const std::filesystem::path& folder);

/// Opens the store and accepts one more record, if it can.
void accept_one(const std::filesystem::path& folder);

} // namespace titip::tests
