#pragma once

#include "vault/support.hpp"

#include <catch2/catch.hpp>

namespace titip::tests {

/// What every custodian promises to those below, whoever keeps the bytes. Call it in a TEST_CASE
/// with an empty vault whose identity is one of everyone(): its sections run one after the other,
/// each with a vault of its own.
inline void keeps_the_contract(vault::vault& keeper)
{
    using vault::errc;
    std::mt19937_64 random{4};
    sender from{everyone().station};
    const auto data = noise(10'000, random);
    const auto what = from.next(data);
    const auto part = [&data](std::size_t first, std::size_t size) {
        return to_bytes(bytes_view{data}.subspan(first, size));
    };

    SECTION("what nobody has offered is not found")
    {
        CHECK_FALSE(finish(keeper.find(what.key())).value().has_value());
        CHECK(finish(keeper.read(what.key(), 0, 10)).error() == errc::unknown);
        CHECK(finish(keeper.discard(what.key())).error() == errc::unknown);
    }

    SECTION("a kept part is found at its offset, and read as it came")
    {
        REQUIRE(finish(keeper.keep(what, 0, part(0, 6'000))).has_value());
        const auto found = finish(keeper.find(what.key())).value();
        REQUIRE(found.has_value());
        CHECK_FALSE(found->complete);
        CHECK(found->offset == 6'000);
        CHECK(found->size_bytes == data.size());
        CHECK(found->digest == what.manifest.digest);
        CHECK(found->receipt.empty());
        CHECK((finish(keeper.read(what.key(), 0, data.size())).value() == part(0, 6'000)));
    }

    SECTION("bytes that do not begin where the stored part ends are refused, and change nothing")
    {
        CHECK(finish(keeper.keep(what, 1, part(1, 10))).error() == errc::wrong_offset);
        CHECK(finish(keeper.complete(what, 1, part(1, 9'999))).error() == errc::wrong_offset);
        REQUIRE(finish(keeper.keep(what, 0, part(0, 100))).has_value());
        for (const std::size_t wrong : {0u, 99u, 101u}) {
            CHECK(finish(keeper.keep(what, wrong, part(wrong, 10))).error() == errc::wrong_offset);
            CHECK(finish(keeper.complete(what, wrong, part(wrong, data.size() - wrong))).error() ==
                  errc::wrong_offset);
        }
        CHECK(finish(keeper.find(what.key())).value()->offset == 100);
    }

    SECTION("the same id with other bytes is a conflict, complete or not")
    {
        const auto others = noise(10'000, random);
        const auto other = from.next(others, what.manifest.record);
        REQUIRE(finish(keeper.keep(what, 0, part(0, 100))).has_value());
        CHECK(finish(keeper.keep(other, 100, others)).error() == errc::conflict);
        CHECK(finish(keeper.complete(other, 100, others)).error() == errc::conflict);
        REQUIRE(finish(keeper.complete(what, 100, part(100, 9'900))).has_value());
        CHECK(finish(keeper.keep(other, 0, others)).error() == errc::conflict);
        CHECK(finish(keeper.complete(other, 0, others)).error() == errc::conflict);
        CHECK((finish(keeper.read(what.key(), 0, data.size())).value() == data));
    }

    SECTION("two stations may choose the same id")
    {
        sender neighbour{everyone().neighbour};
        const auto others = noise(500, random);
        const auto other = neighbour.next(others, what.manifest.record);
        REQUIRE(finish(keeper.complete(what, 0, data)).has_value());
        REQUIRE(finish(keeper.complete(other, 0, others)).has_value());
        CHECK((finish(keeper.read(what.key(), 0, 99'999)).value() == data));
        CHECK((finish(keeper.read(other.key(), 0, 99'999)).value() == others));
    }

    SECTION("the receipt is signed, names what is held, and is the same for ever")
    {
        const auto receipt = finish(keeper.complete(what, 0, data)).value();
        const auto said = said_in<envelope::receipt>(receipt);
        CHECK(said.record == what.manifest.record);
        CHECK(said.station == what.manifest.station);
        CHECK(said.epoch == what.manifest.epoch);
        CHECK(said.at == what.manifest.at);
        CHECK(said.digest == sha256(data));
        CHECK(said.size_bytes == data.size());
        CHECK(said.manifest_hash == what.hash);
        CHECK((finish(keeper.complete(what, 0, data)).value() == receipt));
        CHECK((finish(keeper.complete(what, data.size(), {})).value() == receipt));
        const auto found = finish(keeper.find(what.key())).value();
        REQUIRE(found.has_value());
        CHECK(found->complete);
        CHECK(found->offset == data.size());
        CHECK((found->receipt == receipt));
        CHECK((found->manifest_cms == what.cms));
    }

    SECTION("an incomplete record can be forgotten and offered anew, a complete one cannot")
    {
        REQUIRE(finish(keeper.keep(what, 0, part(0, 5'000))).has_value());
        REQUIRE(finish(keeper.discard(what.key())).has_value());
        CHECK_FALSE(finish(keeper.find(what.key())).value().has_value());
        CHECK(finish(keeper.discard(what.key())).error() == errc::unknown);
        REQUIRE(finish(keeper.complete(what, 0, data)).has_value());
        CHECK(finish(keeper.discard(what.key())).error() == errc::already_complete);
        CHECK((finish(keeper.read(what.key(), 0, data.size())).value() == data));
    }

    SECTION("a record resumed in odd pieces is the same record")
    {
        const auto big = noise(3 * 4'016 + 777, random);
        for (const std::size_t piece : {4'015u, 4'016u, 4'017u, 997u, 8'032u, 12'048u}) {
            CAPTURE(piece);
            const auto pieces = from.next(big);
            std::size_t offset = 0;
            for (; offset + piece < big.size(); offset += piece) {
                const auto from_here = bytes_view{big}.subspan(offset, piece);
                REQUIRE(finish(keeper.keep(pieces, offset, to_bytes(from_here))).has_value());
            }
            const auto rest = bytes_view{big}.subspan(offset);
            REQUIRE(finish(keeper.complete(pieces, offset, to_bytes(rest))).has_value());
            CHECK((finish(keeper.read(pieces.key(), 0, big.size())).value() == big));
        }
    }

    SECTION("a record that comes byte by byte across a border is the same record")
    {
        REQUIRE(finish(keeper.keep(what, 0, part(0, 4'014))).has_value());
        for (std::size_t at = 4'014; at < 4'019; ++at)
            REQUIRE(finish(keeper.keep(what, at, part(at, 1))).has_value());
        REQUIRE(finish(keeper.complete(what, 4'019, part(4'019, data.size() - 4'019))).has_value());
        CHECK((finish(keeper.read(what.key(), 0, data.size())).value() == data));
    }

    SECTION("a record of one byte, and one whose last part is empty, are complete")
    {
        const auto least = noise(1, random);
        const auto one = from.next(least);
        REQUIRE(finish(keeper.complete(one, 0, least)).has_value());
        CHECK((finish(keeper.read(one.key(), 0, 10)).value() == least));
        REQUIRE(finish(keeper.keep(what, 0, data)).has_value());
        CHECK_FALSE(finish(keeper.find(what.key())).value()->complete);
        REQUIRE(finish(keeper.complete(what, data.size(), {})).has_value());
        CHECK((finish(keeper.read(what.key(), 0, data.size())).value() == data));
    }

    SECTION("any part can be read from any offset")
    {
        REQUIRE(finish(keeper.complete(what, 0, data)).has_value());
        for (const std::size_t offset : {0u, 1u, 4'015u, 4'016u, 4'017u, 9'999u})
            for (const std::size_t limit : {0u, 1u, 4'016u, 8'033u, 20'000u}) {
                CAPTURE(offset, limit);
                const auto expected = part(offset, std::min(limit, data.size() - offset));
                CHECK((finish(keeper.read(what.key(), offset, limit)).value() == expected));
            }
        CHECK(finish(keeper.read(what.key(), data.size(), 10)).value().empty());
    }

    SECTION("the hash of what is durable goes on with what is not")
    {
        const auto big = noise(600'000, random);
        const auto resumed = from.next(big);
        const auto first = bytes_view{big}.first(550'001);
        REQUIRE(finish(keeper.keep(resumed, 0, to_bytes(first))).has_value());
        for (const std::size_t size : {1u, 4'016u, 262'144u, 262'145u, 550'001u}) {
            CAPTURE(size);
            CHECK(finish(keeper.hash(resumed.key(), size)).value().value() ==
                  sha256(first.first(size)));
        }
        auto hash = finish(keeper.hash(resumed.key(), first.size())).value();
        hash.update(bytes_view{big}.subspan(first.size()));
        CHECK(hash.value() == resumed.manifest.digest);

        CHECK(finish(keeper.hash(resumed.key(), first.size() + 1)).error() == errc::wrong_offset);
        CHECK(finish(keeper.hash(what.key(), 1)).error() == errc::unknown);
        CHECK(finish(keeper.hash(what.key(), 0)).value().value() == sha256({}));
    }

    SECTION("a reconcile says what is held, how far the rest has come, and what was received")
    {
        const auto second_data = noise(100, random);
        const auto second = from.next(second_data);
        const auto third = from.next(noise(300, random));
        const auto receipt = finish(keeper.complete(what, 0, data)).value();
        REQUIRE(finish(keeper.complete(second, 0, second_data)).has_value());
        REQUIRE(finish(keeper.keep(third, 0, noise(77, random))).has_value());

        const auto stranger = record_id::random();
        const vault::question asked{
            .unsettled = {third.manifest.record, what.manifest.record, stranger}};
        const auto answer = finish(keeper.reconcile(from.station(), asked)).value();
        const auto custody = said_in<envelope::custody>(answer.custody_cms);
        CHECK(custody.station == from.station());
        REQUIRE(custody.epochs.size() == 1);
        CHECK(custody.epochs[0].epoch == from.epoch());
        CHECK(custody.epochs[0].ranges ==
              std::vector<envelope::held_range>{
                  {envelope::sequence{1}, envelope::sequence{2}, second.hash}});
        REQUIRE(answer.partials.size() == 1);
        CHECK(answer.partials[0].record == third.manifest.record);
        CHECK(answer.partials[0].digest == third.manifest.digest);
        CHECK(answer.partials[0].offset == 77);
        REQUIRE(answer.receipts.size() == 1);
        CHECK(answer.receipts[0].first == what.manifest.record);
        CHECK((answer.receipts[0].second == receipt));
        CHECK(answer.findings.empty());
        CHECK(answer.verdicts.empty());
        CHECK_FALSE(answer.more);
    }

    SECTION("a station that was never here holds nothing, and hears nothing of the others")
    {
        REQUIRE(finish(keeper.complete(what, 0, data)).has_value());
        const auto answer =
            finish(keeper.reconcile("office-2", {.unsettled = {what.manifest.record}})).value();
        CHECK(said_in<envelope::custody>(answer.custody_cms).epochs.empty());
        CHECK(answer.partials.empty());
        CHECK(answer.receipts.empty());
        CHECK(keeper.newest_verdict("office-2") == 0);
    }

    SECTION("an empty vault has room")
    {
        CHECK(keeper.has_room());
    }
}

} // namespace titip::tests
