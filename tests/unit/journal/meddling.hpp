#pragma once

#include "journal/parts.hpp"
#include "journal/support.hpp"

namespace titip::tests {

/// Writes a store's rows behind its back; the store is closed.
template <class Change>
void meddle(const journal_fixture& at, Change change)
{
    journal::environment env{at.options.directory, 2ull << 30};
    journal::transaction txn{env.get(), journal::transaction::mode::write};
    const auto t = journal::open_tables(txn);
    v1::Meta meta;
    const auto key = journal::key_builder{}.text("meta");
    journal::open_row(journal::seed::meta, key, txn.get(t.meta, key).value(), meta);
    change(txn, t, meta);
    meta.set_transaction(txn.id());
    txn.put(t.meta, key, journal::seal_row(journal::seed::meta, key, meta));
    txn.commit();
}

/// The transaction id in one of the two meta pages of a data.mdb.
inline std::uint64_t& transaction_of(bytes& pages, std::size_t page)
{
    return *reinterpret_cast<std::uint64_t*>(pages.data() + page * 4096 + 16 + 24 + 96 + 8);
}

} // namespace titip::tests
