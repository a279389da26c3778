#pragma once

#include "journal/store.hpp"

namespace titip::journal {

/// Uploads that were begun and get no byte any more, for the eyes of people: who sends them may have
/// lost its store, or be gone. Nothing is removed; see store::discard_for().
/// Threads:  the socket thread. Lifetime: outlived by `of`.
class stalled_uploads {
public:
    struct options {
        /// An office that is cut off for a weekend and a holiday is nobody's business yet.
        milliseconds after = 7 * 24h;
        milliseconds first = 5s; ///< when the start is through
        /// Each look reads every row, if anything is arriving at all.
        milliseconds between = 6h;
        milliseconds breath = 100ms; ///< between two bounded pieces of a look
    };
    struct view {
        std::vector<record_view> oldest; ///< the oldest of all, at most `most_shown`
        std::size_t count = 0;
    };
    static constexpr std::size_t most_shown = 16;

    stalled_uploads(store& of, options opts) : store_(of), opts_(opts) {}
    explicit stalled_uploads(store& of) : stalled_uploads(of, {}) {}

    /// For ever; ends by cancellation, or when the store fails.
    asio::awaitable<void> run();
    void on_change(const change& what);
    const view& now() const noexcept { return view_; }

private:
    asio::awaitable<bool> look();
    store& store_;
    options opts_;
    view view_;
};

} // namespace titip::journal
