#include "journal/pages.hpp"

#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace titip::journal {

namespace {

// mdb.c of 0.9: MDB_page, MDB_node, MDB_db, MDB_meta on a 64-bit machine.
constexpr std::uint16_t branch_flag = 0x01;
constexpr std::uint16_t leaf_flag = 0x02;
constexpr std::uint16_t overflow_flag = 0x04;
constexpr std::uint16_t meta_flag = 0x08;
constexpr std::uint16_t kind_flags = 0x6f; // with LEAF2 and SUBP, which we never have
constexpr std::uint16_t big_value_flag = 0x01;
constexpr std::uint16_t table_flag = 0x02;
constexpr std::size_t node_header_bytes = 8;
constexpr std::size_t table_root_bytes = 48;
constexpr std::uint32_t meta_magic = 0xBEEFC0DE;
constexpr std::uint16_t deepest = 32; // LMDB's own limit

template <class T>
T get(bytes_view from, std::size_t at) noexcept
{
    T out{};
    std::memcpy(&out, from.data() + at, sizeof out);
    return out;
}

} // namespace

page_file::page_file(const std::filesystem::path& path)
    : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC))
{
    if (file_ < 0)
        throw boost::system::system_error(errno, boost::system::system_category(), path.string());
}

page_file::~page_file()
{
    ::close(file_);
}

page_number page_file::size() const
{
    struct stat status {};
    if (::fstat(file_, &status) != 0)
        return 0;
    return (static_cast<page_number>(status.st_size) + lmdb_page_bytes - 1) / lmdb_page_bytes;
}

bool page_file::read(page_number first, std::span<std::byte> into) const
{
    if (first > size())
        return false;
    auto at = static_cast<off_t>(first * lmdb_page_bytes);
    while (!into.empty()) {
        const auto got = ::pread(file_, into.data(), into.size(), at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        into = into.subspan(static_cast<std::size_t>(got));
        at += got;
    }
    return true;
}

bool page_file::read(page_number number, page& into) const
{
    return read(number, std::span{into});
}

page_kind kind_of(const page& p) noexcept
{
    switch (get<std::uint16_t>(p, 10) & kind_flags) {
    case branch_flag:
        return page_kind::branch;
    case leaf_flag:
        return page_kind::leaf;
    case overflow_flag:
        return page_kind::overflow;
    default:
        return page_kind::other;
    }
}

page_number number_of(const page& p) noexcept
{
    return get<page_number>(p, 0);
}

std::uint32_t run_of(const page& p) noexcept
{
    return get<std::uint32_t>(p, 12);
}

namespace {

/// The node at an offset; nothing if it does not lie within the page.
std::optional<node> node_at(const page& p, std::size_t at, bool is_leaf)
{
    const bytes_view all{p};
    if (at + node_header_bytes > p.size())
        return std::nullopt;
    const auto low = get<std::uint16_t>(all, at);
    const auto high = get<std::uint16_t>(all, at + 2);
    const auto flags = get<std::uint16_t>(all, at + 4);
    const std::size_t key_bytes = get<std::uint16_t>(all, at + 6);
    const auto key_at = at + node_header_bytes;
    if (key_at + key_bytes > p.size())
        return std::nullopt;
    node out{.key = all.subspan(key_at, key_bytes)};
    const auto value_at = key_at + key_bytes;
    if (!is_leaf) {
        out.elsewhere = low | std::uint64_t{high} << 16 | std::uint64_t{flags} << 32;
        return out;
    }
    out.size_bytes = low | std::uint64_t{high} << 16;
    out.is_table = (flags & table_flag) != 0;
    const bool is_big = (flags & big_value_flag) != 0;
    const auto here = is_big ? sizeof(page_number) : out.size_bytes;
    if ((flags & ~(big_value_flag | table_flag)) != 0 || value_at + here > p.size() ||
        (out.is_table && (is_big || here != table_root_bytes)))
        return std::nullopt;
    if (is_big)
        out.elsewhere = get<page_number>(all, value_at);
    else
        out.value = all.subspan(value_at, here);
    return out;
}

} // namespace

std::optional<std::vector<node>> nodes_of(const page& p)
{
    const bool is_leaf = kind_of(p) == page_kind::leaf;
    const std::size_t lower = get<std::uint16_t>(p, 12);
    const std::size_t upper = get<std::uint16_t>(p, 14);
    if ((!is_leaf && kind_of(p) != page_kind::branch) || lower < page_header_bytes ||
        lower > upper || upper > p.size() || lower % 2 != 0)
        return std::nullopt;
    std::vector<node> out;
    out.reserve((lower - page_header_bytes) / 2);
    for (auto pointer = page_header_bytes; pointer < lower; pointer += 2) {
        const std::size_t at = get<std::uint16_t>(p, pointer);
        const auto each = at < upper ? std::nullopt : node_at(p, at, is_leaf);
        if (!each)
            return std::nullopt;
        out.push_back(*each);
    }
    return out;
}

std::vector<node> readable_nodes_of(const page& p)
{
    std::vector<node> out;
    auto lowest = p.size();
    auto pointer = page_header_bytes;
    const auto take = [&] {
        const std::size_t at = get<std::uint16_t>(p, pointer);
        const auto each = at < pointer + 2 ? std::nullopt : node_at(p, at, true);
        if (!each)
            return;
        lowest = std::min(lowest, at);
        out.push_back(*each);
    };
    const std::size_t lower = get<std::uint16_t>(p, 12);
    const std::size_t upper = get<std::uint16_t>(p, 14);
    if (lower <= upper && upper <= p.size())
        for (; pointer + 2 <= lower; pointer += 2)
            take();
    // The header may be what rotted; pointers end where the lowest node begins.
    for (; pointer + 2 <= lowest; pointer += 2)
        take();
    return out;
}

table_root read_table_root(bytes_view stored)
{
    return {.flags = get<std::uint16_t>(stored, 4),
            .depth = get<std::uint16_t>(stored, 6),
            .branches = get<std::uint64_t>(stored, 8),
            .leaves = get<std::uint64_t>(stored, 16),
            .overflows = get<std::uint64_t>(stored, 24),
            .entries = get<std::uint64_t>(stored, 32),
            .root = get<page_number>(stored, 40)};
}

std::optional<snapshot> read_snapshot(const page& p)
{
    const bytes_view all{p};
    const auto meta = all.subspan(page_header_bytes);
    if ((get<std::uint16_t>(all, 10) & meta_flag) == 0 ||
        get<std::uint32_t>(meta, 0) != meta_magic || get<std::uint32_t>(meta, 4) != 1)
        return std::nullopt;
    constexpr std::size_t tables_at = 24;
    constexpr auto last_at = tables_at + 2 * table_root_bytes;
    return snapshot{
        .transaction = get<std::uint64_t>(meta, last_at + 8),
        .last = get<page_number>(meta, last_at),
        .free = read_table_root(meta.subspan(tables_at, table_root_bytes)),
        .main = read_table_root(meta.subspan(tables_at + table_root_bytes, table_root_bytes))};
}

bool are_neighbours(std::uint64_t even, std::uint64_t odd) noexcept
{
    return (even == 0 && odd == 0) ||
           (even % 2 == 0 && odd % 2 == 1 && (even + 1 == odd || odd + 1 == even));
}

bool are_meta_pages_good(const page_file& from)
{
    page even{};
    page odd{};
    if (!from.read(0, even) || !from.read(1, odd))
        return false;
    const auto first = read_snapshot(even);
    const auto second = read_snapshot(odd);
    return first && second && are_neighbours(first->transaction, second->transaction);
}

std::vector<bool> pages_of_trees(const page_file& from, const snapshot& of)
{
    std::vector<bool> out(from.size());
    std::vector<page_number> next{of.main.root};
    while (!next.empty()) {
        const auto number = next.back();
        next.pop_back();
        page p{};
        if (number < 2 || number >= out.size() || out[number] || !from.read(number, p) ||
            number_of(p) != number)
            continue;
        const auto nodes = nodes_of(p);
        if (!nodes)
            continue;
        out[number] = true;
        for (const auto& each : *nodes)
            if (kind_of(p) == page_kind::branch)
                next.push_back(each.elsewhere);
            else if (each.is_table)
                next.push_back(read_table_root(each.value).root);
    }
    return out;
}

std::optional<snapshot> newest_snapshot(const page_file& from)
{
    std::optional<snapshot> out;
    for (const page_number each : {0u, 1u}) {
        page p{};
        if (!from.read(each, p))
            continue;
        const auto found = read_snapshot(p);
        if (found && (!out || found->transaction > out->transaction))
            out = found;
    }
    return out;
}

namespace {

class census {
public:
    census(const page_file& from, const snapshot& of, const std::function<void()>& on_step)
        : from_(from), of_(of), on_step_(on_step),
          end_(std::min(of.last + 1, from.size() + most_unwritten)), seen_(end_)
    {
    }

    std::vector<std::string> run()
    {
        if (of_.last >= end_)
            differs("the file ends at page {}, but the last is said to be {}", from_.size(),
                    of_.last);
        for (page_number each = 0; each < std::min<page_number>(2, end_); ++each)
            seen_[each] = true;
        follow("the list of free pages", of_.free, [this](const node& each) { count_free(each); });
        std::vector<std::pair<std::string, table_root>> tables;
        follow("the list of tables", of_.main, [&tables](const node& each) {
            if (each.is_table)
                tables.emplace_back(as_text(each.key), read_table_root(each.value));
        });
        for (const auto& [name, root] : tables)
            follow("the table " + name, root, [](const node&) {});
        // Where a branch of a tree was lost, all below it would be told as lost once more.
        if (out_.empty())
            tell_lost();
        return std::move(out_);
    }

private:
    /// Pages that were given out and came free in one transaction are never written: the file may end
    /// before them.
    static constexpr page_number most_unwritten = 16'384;
    using visitor = std::function<void(const node&)>;

    template <class... Parts>
    void differs(fmt::format_string<Parts...> sentence, Parts&&... parts)
    {
        constexpr std::size_t most = 200;
        if (out_.size() < most)
            out_.push_back(fmt::format(sentence, std::forward<Parts>(parts)...));
    }

    /// False: it cannot be followed.
    bool use(const std::string& by, page_number number)
    {
        if (number < 2 || number >= end_) {
            differs("{} leads to page {}, which is none", by, number);
            return false;
        }
        if (seen_[number]) {
            differs("page {}, in {}, is in use twice or free", number, by);
            return false;
        }
        seen_[number] = true;
        return true;
    }

    void follow(const std::string& name, const table_root& root, const visitor& told)
    {
        if (root.root == table_root::none) {
            if (root.entries != 0 || root.depth != 0)
                differs("{} is empty, but {} entries are said to be in it", name, root.entries);
            return;
        }
        if (root.depth == 0 || root.depth > deepest)
            return differs("{} is said to be {} pages deep", name, root.depth);
        counted_ = {};
        last_key_.reset();
        least_.reset();
        // The list of free pages has numbers for keys, in the machine's order of bytes.
        is_numbered_ = &root == &of_.free;
        is_broken_ = false;
        descend(name, root.root, root.depth, told);
        if (is_broken_)
            return; // its sentence is there; the counts say nothing now
        if (counted_.entries != root.entries || counted_.branches != root.branches ||
            counted_.leaves != root.leaves || counted_.overflows != root.overflows)
            differs("{} is said to have {} entries in {}, {} and {} pages, but has {} in {}, {} "
                    "and {}",
                    name, root.entries, root.branches, root.leaves, root.overflows,
                    counted_.entries, counted_.branches, counted_.leaves, counted_.overflows);
    }

    void descend(const std::string& name, page_number number, unsigned levels, const visitor& told)
    {
        if (!use(name, number)) {
            is_broken_ = true;
            return;
        }
        constexpr std::uint64_t now_and_then = 64; // half a second of a slow disk
        if (on_step_ && ++steps_ % now_and_then == 0)
            on_step_();
        page p{};
        const bool is_read = from_.read(number, p);
        const auto wanted = levels == 1 ? page_kind::leaf : page_kind::branch;
        const auto nodes =
            is_read && number_of(p) == number && kind_of(p) == wanted ? nodes_of(p) : std::nullopt;
        if (!nodes || nodes->empty()) {
            is_broken_ = true;
            return differs("page {}, in {}, {}", number, name,
                           is_read ? "is not what was written" : "cannot be read");
        }
        if (wanted == page_kind::branch) {
            ++counted_.branches;
            for (std::size_t i = 0; i < nodes->size(); ++i) {
                const auto& each = (*nodes)[i];
                // By the key of a branch LMDB chooses where to look and where to put; never by that
                // of the first one.
                if (i > 0) {
                    if (!is_broken_ && last_key_ && !is_less(*last_key_, each.key))
                        misleads(number, name);
                    least_ = bound{to_bytes(each.key), number};
                }
                descend(name, each.elsewhere, levels - 1, told);
            }
            return;
        }
        ++counted_.leaves;
        if (const auto least = std::exchange(least_, std::nullopt);
            least && is_less(nodes->front().key, least->key))
            misleads(least->by, name);
        for (const auto& each : *nodes) {
            ++counted_.entries;
            if (last_key_ && !is_less(*last_key_, each.key)) {
                differs("page {}, in {}, is not in order", number, name);
                is_broken_ = true;
            }
            last_key_ = to_bytes(each.key);
            if (each.elsewhere != 0)
                use_run(name, each);
            told(each);
        }
    }

    void misleads(page_number number, const std::string& name)
    {
        differs("page {}, in {}, leads to others under a wrong key", number, name);
    }

    bool is_less(bytes_view a, bytes_view b) const
    {
        if (is_numbered_)
            return a.size() == 8 && b.size() == 8 &&
                   get<std::uint64_t>(a, 0) < get<std::uint64_t>(b, 0);
        return std::ranges::lexicographical_compare(a, b);
    }

    void use_run(const std::string& name, const node& big)
    {
        const auto pages =
            (big.size_bytes + page_header_bytes + lmdb_page_bytes - 1) / lmdb_page_bytes;
        counted_.overflows += pages;
        if (big.elsewhere + pages > from_.size())
            differs("page {}, in {}, lies behind the end of the file", big.elsewhere, name);
        for (std::uint64_t i = 0; i < pages; ++i)
            if (!use(name, big.elsewhere + i)) {
                is_broken_ = true;
                return;
            }
    }

    void count_free(const node& entry)
    {
        bytes far;
        auto list = entry.value;
        if (entry.elsewhere != 0) {
            far.resize(page_header_bytes +
                       std::min<std::uint64_t>(entry.size_bytes, end_ * sizeof(page_number)));
            if (!from_.read(entry.elsewhere, far))
                return differs("page {}, a list of free pages, cannot be read", entry.elsewhere);
            list = bytes_view{far}.subspan(page_header_bytes);
        }
        const auto count = list.size() < 8 ? 0 : get<std::uint64_t>(list, 0);
        if (list.size() < 8 || count > list.size() / 8 - 1)
            return differs("a list of free pages is not what was written");
        for (std::uint64_t i = 1; i <= count; ++i)
            use("the list of free pages", get<page_number>(list, 8 * i));
    }

    void tell_lost()
    {
        for (page_number first = 0; first < end_; ++first) {
            if (seen_[first])
                continue;
            auto last = first;
            while (last + 1 < end_ && !seen_[last + 1])
                ++last;
            differs("pages {} to {} are neither in use nor free", first, last);
            first = last;
        }
    }

    const page_file& from_;
    const snapshot& of_;
    const std::function<void()>& on_step_;
    const page_number end_;
    std::vector<bool> seen_;
    table_root counted_;
    std::optional<bytes> last_key_;
    struct bound {
        bytes key;
        page_number by; ///< the branch that it stands in
    };
    std::optional<bound> least_; ///< for the leaf that comes next
    bool is_numbered_ = false;
    bool is_broken_ = false;
    std::uint64_t steps_ = 0;
    std::vector<std::string> out_;
};

} // namespace

std::vector<std::string> check_pages(const page_file& from, const snapshot& of,
                                     const std::function<void()>& on_step)
{
    return census{from, of, on_step}.run();
}

} // namespace titip::journal
