#include "envelope/error.hpp"

namespace titip::envelope {

namespace {

class envelope_category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "titip.envelope"; }

    std::string message(int value) const override
    {
        switch (static_cast<errc>(value)) {
        case errc::not_an_envelope:
            return "these bytes are not a sealed envelope";
        case errc::not_for_us:
            return "the envelope does not open with this key";
        case errc::wrong_ids:
            return "the envelope holds another record than expected";
        case errc::bad_recipient:
            return "this certificate or key cannot receive envelopes";
        case errc::bad_statement:
            return "these bytes are not a statement";
        case errc::too_large:
            return "the envelope would be larger than 8 MiB";
        }
        return "unknown error of an envelope";
    }
};

} // namespace

boost::system::error_code make_error_code(errc value) noexcept
{
    static const envelope_category category;
    return {static_cast<int>(value), category};
}

} // namespace titip::envelope
