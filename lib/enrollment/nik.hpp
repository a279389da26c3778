#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace titip::enrollment {

/// Nomor Induk Kependudukan, PPKKCC DDMMYY SSSS: where and when its holder was first registered as
/// born, and a serial number. It never changes, so it need not agree with anything known later.
struct nik {
    std::string region; ///< province, regency, district: six digits
    unsigned day = 0;   ///< as written: 40 more for women
    unsigned month = 0;
    unsigned year_of_century = 0; ///< no century is given
    unsigned serial = 0;

    /// Nothing unless `text` is 16 digits. The numbers may still be none that exist.
    static std::optional<nik> parse(std::string_view text);

    bool has_day() const noexcept { return birth_day() >= 1 && birth_day() <= 31; }
    bool has_month() const noexcept { return month >= 1 && month <= 12; }
    bool has_serial() const noexcept { return serial != 0; }

    bool is_female() const noexcept { return day > 40; }
    unsigned birth_day() const noexcept { return is_female() ? day - 40 : day; }
};

bool is_digits(std::string_view text, std::size_t count) noexcept;

} // namespace titip::enrollment
