#include "envelope/der.hpp"

namespace titip::envelope {

std::uint8_t der_reader::next_tag() const noexcept
{
    return failed_ || rest_.empty() ? std::uint8_t{} : std::to_integer<std::uint8_t>(rest_[0]);
}

der_reader::element der_reader::measure_header(std::uint8_t tag) noexcept
{
    const auto at = [this](std::size_t i) { return std::to_integer<std::size_t>(rest_[i]); };
    constexpr element none{0, 0};
    const bool fits = !failed_ && rest_.size() >= 2 && at(0) == tag;
    failed_ = true; // until all of it has been seen
    if (!fits)
        return none;
    element out{2, at(1)};
    if (at(1) >= 0x80) {
        const std::size_t digits = at(1) - 0x80;
        if (digits == 0 || digits > 4 || rest_.size() < 2 + digits)
            return none;
        out = {2 + digits, 0};
        for (std::size_t i = 0; i < digits; ++i)
            out.content_bytes = out.content_bytes << 8 | at(2 + i);
        const bool is_shortest = out.content_bytes >= 0x80 && at(2) != 0;
        if (!is_shortest)
            return none;
    }
    failed_ = false;
    return out;
}

der_reader::element der_reader::measure(std::uint8_t tag) noexcept
{
    const auto out = measure_header(tag);
    if (rest_.size() - out.header_bytes >= out.content_bytes)
        return out;
    failed_ = true;
    return {0, 0};
}

bytes_view der_reader::advance(std::size_t size) noexcept
{
    const auto out = rest_.first(size);
    rest_ = rest_.subspan(size);
    return out;
}

bytes_view der_reader::take(std::uint8_t tag) noexcept
{
    const auto next = measure(tag);
    advance(next.header_bytes);
    return advance(next.content_bytes);
}

bytes_view der_reader::take_whole(std::uint8_t tag) noexcept
{
    const auto next = measure(tag);
    return advance(next.header_bytes + next.content_bytes);
}

std::size_t der_reader::enter(std::uint8_t tag) noexcept
{
    const auto next = measure_header(tag);
    advance(next.header_bytes);
    return next.content_bytes;
}

void der_reader::expect(std::string_view der) noexcept
{
    if (failed_ || !as_text(rest_).starts_with(der))
        failed_ = true;
    else
        advance(der.size());
}

} // namespace titip::envelope
