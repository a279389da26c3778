#include "base/bytes.hpp"

#include <openssl/evp.h>

namespace titip {

std::string to_hex(bytes_view data)
{
    static constexpr char digits[] = "0123456789abcdef";
    std::string out;
    out.reserve(data.size() * 2);
    for (const auto each : data) {
        out += digits[std::to_integer<unsigned>(each) >> 4];
        out += digits[std::to_integer<unsigned>(each) & 15];
    }
    return out;
}

std::string to_base64(bytes_view data)
{
    std::string out((data.size() + 2) / 3 * 4 + 1, '\0'); // EVP_EncodeBlock ends with a zero byte
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), as_uchar(data),
                    static_cast<int>(data.size()));
    out.pop_back();
    return out;
}

std::optional<bytes> from_base64(std::string_view text)
{
    if (text.size() % 4 != 0)
        return std::nullopt;
    std::size_t padding = 0;
    while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=')
        ++padding;
    // EVP_DecodeBlock skips white space at the ends and takes '=' for a zero: be exact here.
    if (text.substr(0, text.size() - padding)
            .find_first_not_of(
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") != text.npos)
        return std::nullopt;
    bytes out(text.size() / 4 * 3);
    const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                     as_uchar(as_bytes(text)), static_cast<int>(text.size()));
    if (size < 0)
        return std::nullopt;
    out.resize(static_cast<std::size_t>(size) - padding);
    return out;
}

} // namespace titip
