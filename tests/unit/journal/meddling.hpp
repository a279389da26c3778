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
    const auto open = [&txn](const char* name) {
        journal::table out;
        journal::check(mdb_dbi_open(txn.native_handle(), name, 0, &out.handle));
        return out;
    };
    const journal::tables t{.meta = open("meta"),
                            .rows = open("rows"),
                            .chunks = open("chunks"),
                            .by_id = open("by_id"),
                            .by_sequence = open("by_sequence"),
                            .queue = open("queue"),
                            .numbering = open("numbering"),
                            .verdicts = open("verdicts"),
                            .ledger = open("ledger"),
                            .opened = open("opened")};
    v1::Meta meta;
    const auto key = journal::key_builder{}.text("meta");
    journal::open_row(journal::seed::meta, key, txn.get(t.meta, key).value(), meta);
    change(txn, t, meta);
    meta.set_transaction(txn.id());
    txn.put(t.meta, key, journal::seal_row(journal::seed::meta, key, meta));
    txn.commit();
}

} // namespace titip::tests
