#include "envelope/pem_blocks.hpp"

#include "envelope/openssl.hpp"

#include <openssl/pem.h>

#include <algorithm>

namespace titip::envelope {

namespace {

constexpr std::string_view begins = "-----BEGIN ";
constexpr std::string_view ends = "-----END ";
constexpr std::string_view blank = " \t\r\f\v";

std::string_view trim(std::string_view text)
{
    const auto from = text.find_first_not_of(blank);
    if (from == text.npos)
        return {};
    return text.substr(from, text.find_last_not_of(blank) - from + 1);
}

std::string label_of(std::string_view line, std::string_view mark)
{
    line.remove_prefix(mark.size());
    return std::string{line.substr(0, line.find("-----"))};
}

/// Of one whole block.
bytes decode(std::string_view text)
{
    const owned_bio in{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
    char* label = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    if (!in || PEM_read_bio(in.get(), &label, &header, &data, &size) != 1)
        return {};
    const bool is_plain = header == nullptr || *header == '\0';
    bytes out = is_plain ? to_bytes(std::as_bytes(std::span{data, static_cast<std::size_t>(size)}))
                         : bytes{};
    OPENSSL_free(label);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, static_cast<std::size_t>(size)); // it may be a key
    return out;
}

} // namespace

pem_contents read_blocks(bytes_view pem)
{
    const quiet_errors quiet;
    pem_contents out;
    const auto all = as_text(pem);
    bool is_open = false;
    std::size_t began = 0;
    std::size_t number = 0;
    for (std::size_t at = 0; at < all.size();) {
        const auto end = std::min(all.find('\n', at), all.size());
        const auto text = trim(all.substr(at, end - at));
        ++number;
        if (text.starts_with(begins)) {
            out.blocks.push_back({.label = label_of(text, begins), .line = number, .der = {}});
            is_open = true;
            began = static_cast<std::size_t>(text.data() - all.data());
        } else if (text.starts_with(ends)) {
            if (!is_open)
                out.blocks.push_back({.label = {}, .line = number, .der = {}});
            else if (label_of(text, ends) == out.blocks.back().label)
                out.blocks.back().der = decode(all.substr(began, end - began));
            is_open = false;
        } else if (!is_open && !text.empty())
            out.outside.push_back({number, text});
        at = end + 1;
    }
    return out;
}

} // namespace titip::envelope
