#include "vault/limit.hpp"

#include "base/fault.hpp"

namespace titip::vault {

namespace {

class limit_category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "titip.limit"; }

    std::string message(int value) const override
    {
        switch (static_cast<limit>(value)) {
        case limit::numbers:
            return "the numbers of this station have too many gaps here";
        case limit::arriving:
            return "too many records of this station are incomplete here";
        case limit::share:
            return "what is left of the space here is for other stations";
        }
        return "unknown limit of the vault";
    }

    boost::system::error_condition default_error_condition(int) const noexcept override
    {
        return fault::admission;
    }
};

} // namespace

boost::system::error_code make_error_code(limit value) noexcept
{
    static const limit_category category;
    return {static_cast<int>(value), category};
}

bool is_limit(const boost::system::error_code& why) noexcept
{
    return why.category() == make_error_code(limit::numbers).category();
}

} // namespace titip::vault
