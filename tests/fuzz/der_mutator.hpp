#pragma once

#include "base/bytes.hpp"
#include "support/der_tree.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

/// Changes DER as DER: elements are changed, exchanged, left out and doubled, and all lengths fit again.
/// Plain changes of bytes are refused at the first length that no longer fits.
namespace titip::fuzz {

using support::element;

/// Of key wraps, ciphers, digests, curves, kinds of content: an algorithm in the place of another.
inline constexpr std::array<std::string_view, 20> object_identifiers{
    "\x60\x86\x48\x01\x65\x03\x04\x01\x2d",         // id-aes256-wrap
    "\x60\x86\x48\x01\x65\x03\x04\x01\x30",         // id-aes256-wrap-pad
    "\x60\x86\x48\x01\x65\x03\x04\x01\x05",         // id-aes128-wrap
    "\x60\x86\x48\x01\x65\x03\x04\x01\x08",         // id-aes128-wrap-pad
    "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x03\x06", // id-alg-CMS3DESwrap
    "\x60\x86\x48\x01\x65\x03\x04\x01\x2e",         // aes-256-gcm
    "\x60\x86\x48\x01\x65\x03\x04\x01\x2f",         // aes-256-ccm
    "\x60\x86\x48\x01\x65\x03\x04\x01\x2a",         // aes-256-cbc
    "\x60\x86\x48\x01\x65\x03\x04\x01\x06",         // aes-128-gcm
    "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x07",         // rsaesOaep
    "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01",         // rsaEncryption
    "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08",         // mgf1
    "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x09",         // pSpecified
    "\x60\x86\x48\x01\x65\x03\x04\x02\x01",         // sha256
    "\x2b\x0e\x03\x02\x1a",                         // sha1
    "\x2b\x81\x04\x01\x0b\x01",                     // dhSinglePass-stdDH-sha256kdf-scheme
    "\x2b\x81\x04\x01\x0e\x01",                     // dhSinglePass-cofactorDH-sha256kdf-scheme
    "\x2a\x86\x48\xce\x3d\x02\x01",                 // id-ecPublicKey
    "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03",         // envelopedData
    "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17", // authEnvelopedData
};

class der_mutator {
public:
    explicit der_mutator(unsigned seed) : random_(seed) {}

    /// The new size.
    std::size_t operator()(std::uint8_t* data, std::size_t size, std::size_t most)
    {
        std::vector<element> all;
        const bytes_view view{reinterpret_cast<const std::byte*>(data), size};
        constexpr unsigned plain = 8; // one in so many
        if (below(plain) == 0 || !support::parse(view, all) || all.empty())
            return LLVMFuzzerMutate(data, size, most);
        for (auto left = below(3) + 1; left > 0 && !all.empty(); --left)
            change(all);
        bytes out;
        for (const auto& each : all)
            support::write(each, out);
        if (out.size() > most)
            return LLVMFuzzerMutate(data, size, most);
        std::ranges::copy(out, reinterpret_cast<std::byte*>(data));
        return out.size();
    }

    /// Changes nothing but the content of elements, and no length.
    void change_contents(std::uint8_t* data, std::size_t size)
    {
        std::vector<element> all;
        const bytes_view view{reinterpret_cast<const std::byte*>(data), size};
        if (!support::parse(view, all))
            return;
        std::vector<std::vector<element>*> lists;
        collect(all, lists);
        for (auto left = below(3) + 1; left > 0; --left) {
            auto& list = *lists[below(lists.size())];
            if (!list.empty())
                flip(list[below(list.size())]);
        }
        bytes out;
        for (const auto& each : all)
            support::write(each, out);
        if (out.size() == size) // another spelling of a length is written as ours
            std::ranges::copy(out, reinterpret_cast<std::byte*>(data));
    }

private:
    void flip(element& one)
    {
        for (auto left = below(3) + 1; left > 0 && !one.content.empty(); --left)
            one.content[below(one.content.size())] ^= std::byte(1u << below(8));
    }
    std::size_t below(std::size_t n) { return n == 0 ? 0 : std::size_t{random_()} % n; }

    static void collect(std::vector<element>& in, std::vector<std::vector<element>*>& lists)
    {
        lists.push_back(&in);
        for (auto& each : in)
            if (!each.children.empty())
                collect(each.children, lists);
    }

    void change(std::vector<element>& all)
    {
        std::vector<std::vector<element>*> lists;
        collect(all, lists);
        auto& list = *lists[below(lists.size())];
        if (list.empty())
            return;
        const auto at = below(list.size());
        auto& one = list[at];
        const auto place = list.begin() + static_cast<std::ptrdiff_t>(at);
        switch (below(10)) {
        case 0:
            list.erase(place);
            break;
        case 1: {
            auto again = one;
            list.insert(place, std::move(again));
            break;
        }
        case 2:
            std::swap(one, list[below(list.size())]);
            break;
        case 3: { // one from elsewhere
            const auto& other = *lists[below(lists.size())];
            if (!other.empty()) {
                auto copied = other[below(other.size())];
                list[at] = std::move(copied);
            }
            break;
        }
        case 4: {
            constexpr std::array<std::uint8_t, 12> tags{0x02, 0x03, 0x04, 0x05, 0x06, 0x30,
                                                        0x31, 0x80, 0x81, 0xa0, 0xa1, 0xa2};
            one.tag = tags[below(tags.size())];
            break;
        }
        case 5: // another length, as of a key that is wrapped
            if (one.children.empty()) {
                constexpr std::array<std::size_t, 12> sizes{0,  1,  8,  12, 16,  24,
                                                            32, 40, 48, 64, 256, 1'040};
                one.content.resize(sizes[below(sizes.size())]);
                for (auto& each : one.content)
                    each = static_cast<std::byte>(below(256));
            }
            break;
        case 6:
            for (auto* each : lists)
                for (auto& found : *each)
                    if (found.tag == 0x06 && below(4) == 0) {
                        const auto& text = object_identifiers[below(object_identifiers.size())];
                        found.content = to_bytes(as_bytes(text));
                    }
            break;
        case 7: { // NULL, or nothing, beside it
            element next;
            next.tag = below(2) == 0 ? 0x05 : 0x30;
            list.insert(place, std::move(next));
            break;
        }
        default:
            if (one.children.empty() && !one.content.empty() &&
                below(2) == 0) { // of the same length
                for (auto left = below(3) + 1; left > 0; --left)
                    one.content[below(one.content.size())] ^= std::byte(1u << below(8));
            } else if (one.children.empty()) {
                auto& content = one.content;
                const auto before = content.size();
                const auto room = before + 16;
                content.resize(room);
                content.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(content.data()),
                                                before, room));
            }
        }
    }

    std::minstd_rand random_;
};

} // namespace titip::fuzz
