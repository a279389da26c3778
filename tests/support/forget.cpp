// Removes one record from a closed journal, as a hand that goes around the daemon would: so that
// the demo, and tests, can show that somebody notices.

#include "journal/writing.hpp"

#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>

using namespace titip::journal;

namespace {

/// The journal's own count would notice a commit that it did not make: this hand is a careful one.
void forget_first(MDB_env* environment)
{
    transaction txn{environment, transaction::mode::write};
    const auto t = open_tables(txn);
    const auto first = cursor{txn, t.rows}.first().value();
    const place at{read_u64(first.key)};
    const auto row = find_row(txn, t, at).value();
    txn.erase(t.by_id, id_key(key_of(row)));
    txn.erase(t.rows, place_key(at));
    const auto key = key_builder{}.text("meta");
    titip::v1::Meta meta;
    open_row(seed::meta, key, txn.get(t.meta, key).value(), meta);
    meta.set_transaction(txn.id());
    txn.put(t.meta, key, seal_row(seed::meta, key, meta));
    txn.commit();
}

void forget_in(const char* directory)
{
    MDB_env* environment = nullptr;
    check(mdb_env_create(&environment));
    const std::unique_ptr<MDB_env, decltype(&mdb_env_close)> closing{environment, mdb_env_close};
    check(mdb_env_set_maxdbs(environment, 16));
    check(mdb_env_set_mapsize(environment, std::size_t{64} << 30));
    check(mdb_env_open(environment, directory, 0, 0600));
    forget_first(environment);
}

} // namespace

int main(int argc, char** argv)
{
    if (argc != 2) {
        std::fprintf(stderr, "titip-forget STATE-DIRECTORY\n");
        return 2;
    }
    // LMDB would make a new and empty store, in a folder that was mistyped.
    if (!std::filesystem::exists(std::filesystem::path{argv[1]} / "data.mdb")) {
        std::fprintf(stderr, "titip-forget: %s: there is no store (data.mdb) here\n", argv[1]);
        return 1;
    }
    try {
        forget_in(argv[1]);
    } catch (const std::exception& trouble) {
        std::fprintf(stderr, "titip-forget: %s: %s\n", argv[1], trouble.what());
        return 1;
    }
    std::printf("one record forgotten\n");
}
